#include "compbench_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "compbench_rules.h"
#include "pixart/base/file.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

void write(const fs::path& file, const std::string& text) {
  create_folders(file.parent_path());
  write_file_atomically(file, text);
}

void write_json(const fs::path& file, const ordered_json& json) {
  write(file, json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

std::string text_of(double probability) { return fmt::format("{:.4f}", probability); }

// answer(i) of each image.
template <class Answer>
ordered_json results_of(size_t count, const Answer& answer) {
  ordered_json results = ordered_json::array();
  for (size_t i = 0; i < count; ++i) results.push_back({{"question_id", i}, {"answer", answer(i)}});
  return results;
}

void write_mean(const fs::path& file, const char* before, const std::vector<double>& scores) {
  write(file, fmt::format("{}{}", before, mean_of(scores)));
}

void write_question(const fs::path& folder, size_t place, const VqaFiles& files) {
  ordered_json asked = ordered_json::array();
  const auto has = [&](size_t i) { return place < files.questions[i].size(); };
  for (size_t i = 0; i < files.images.size(); ++i)
    asked.push_back({{"image", files.images[i]},
                     {"question_id", i},
                     {"question", has(i) ? files.questions[i][place] + "?" : ""},
                     {"dataset", "color"}});
  write_json(folder / "vqa_test.json", asked);
  write_json(folder / "VQA/result/vqa_result.json", results_of(files.images.size(), [&](size_t i) {
               return text_of(has(i) ? files.probabilities[i][place] : 1);
             }));
}

}  // namespace

void write_vqa_files(const fs::path& folder, const VqaFiles& files) {
  for (size_t place = 0; place < kMostQuestions; ++place)
    write_question(folder / fmt::format("annotation{}_blip", place + 1), place, files);
  const fs::path result = folder / "annotation_blip";
  write_json(result / "vqa_result.json",
             results_of(files.scores.size(), [&](size_t i) { return text_of(files.scores[i]); }));
  write_mean(result / "blip_vqa_score.txt", "BLIP-VQA score:", files.scores);
}

void write_clip_files(const fs::path& folder, const std::vector<double>& scores) {
  const fs::path result = folder / "annotation_clip";
  write_json(result / "vqa_result.json", results_of(scores.size(), [&](size_t i) { return scores[i]; }));
  write_mean(result / "score_avg.txt", "score avg:", scores);
}

void write_spatial_files(const fs::path& folder, const std::vector<std::string>& images,
                         const std::vector<double>& scores) {
  const fs::path result = folder / "labels/annotation_obj_detection_2d";
  write_json(result / "vqa_result.json", results_of(scores.size(), [&](size_t i) { return scores[i]; }));
  write_mean(result / "avg_score.txt", "score avg:", scores);
  ordered_json mapping = ordered_json::array();
  for (size_t i = 0; i < images.size(); ++i) mapping.push_back({{"image", images[i]}, {"question_id", i}});
  write_json(result / "mapping.json", mapping);
}

void write_three_in_one_files(const fs::path& folder, const std::vector<double>& scores) {
  const fs::path result = folder / "annotation_3_in_1";
  write_json(result / "vqa_result.json", results_of(scores.size(), [&](size_t i) { return scores[i]; }));
  write_mean(result / "vqa_score.txt", "score avg:", scores);
}

}  // namespace pixart::score
