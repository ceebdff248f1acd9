// The files that the benchmark's scripts write, with their names and layout, below OUT/CATEGORY.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pixart::score {

// annotationN_blip/vqa_test.json and annotationN_blip/VQA/result/vqa_result.json for each of eight questions (a question that an
// image does not have is ""), annotation_blip/vqa_result.json and blip_vqa_score.txt.
struct VqaFiles {
  std::vector<std::string> images = {};                  // as vqa_test.json names them
  std::vector<std::vector<std::string>> questions = {};  // of each image
  std::vector<std::vector<double>> probabilities = {};   // of each image
  std::vector<double> scores = {};                       // of each image
};
void write_vqa_files(const std::filesystem::path& folder, const VqaFiles& files);

// annotation_clip/vqa_result.json and score_avg.txt.
void write_clip_files(const std::filesystem::path& folder, const std::vector<double>& scores);

// labels/annotation_obj_detection_2d/vqa_result.json, mapping.json and avg_score.txt.
void write_spatial_files(const std::filesystem::path& folder, const std::vector<std::string>& images,
                         const std::vector<double>& scores);

// annotation_3_in_1/vqa_result.json and vqa_score.txt.
void write_three_in_one_files(const std::filesystem::path& folder, const std::vector<double>& scores);

}  // namespace pixart::score
