#include "pixart/score/compbench.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "attempt.h"
#include "card.h"
#include "compbench_clip.h"
#include "compbench_files.h"
#include "compbench_ledger.h"
#include "compbench_open.h"
#include "compbench_table.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/base/progress.h"
#include "pixart/base/version.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/formats/hash.h"
#include "sampling.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr size_t kAskedAtOnce = 64;      // questions between two writes of the ledger
constexpr int64_t kOfficialImages = 10;  // of each prompt

// --- questions

// Asks what the ledger does not have, and returns all answers. Groups are the same after an interruption, because the last digits
// of an answer depend on the others of its batch.
template <class Ask>
std::vector<double> answered(const std::vector<AskedImage>& asked, AnswerLedger& ledger,
                             const std::string& what, const Ask& ask) {
  Progress progress(what, int64_t(asked.size()), "question");
  std::vector<double> answers;
  for (size_t at = 0; at < asked.size(); at += kAskedAtOnce) {
    const auto begin = asked.begin() + std::ptrdiff_t(at);
    const std::vector<AskedImage> group(begin,
                                        begin + std::ptrdiff_t(std::min(kAskedAtOnce, asked.size() - at)));
    const auto is_known = [&](const AskedImage& one) { return ledger.find(one) != nullptr; };
    if (!std::all_of(group.begin(), group.end(), is_known)) ledger.add(group, ask(group));
    for (const auto& one : group) answers.push_back(*ledger.find(one));
    progress.update(int64_t(answers.size()));
  }
  return answers;
}

// The networks that answer, and their ledgers; opened when they are needed.
struct Networks {
  YesProbability vqa = {};
  ClipCosine clip = {};
  std::optional<AnswerLedger> vqa_ledger = {}, clip_ledger = {};
  std::string vqa_protocol = {}, clip_protocol = {};  // JSON; "": not used
};

Networks open_networks(const CompBenchRequest& request, const CompBenchInputs& inputs, const fs::path& out) {
  Networks networks;
  const auto has = [&](bool (*is_needed)(CompBenchCategory)) {
    return std::any_of(inputs.categories.begin(), inputs.categories.end(),
                       [&](const auto& prompts) { return is_needed(prompts.category); });
  };
  if (request.vqa && has(asks_vqa)) {
    networks.vqa = load_blip_vqa(*request.vqa, &networks.vqa_protocol);
    networks.vqa_ledger.emplace(out / "answers-vqa.jsonl", networks.vqa_protocol);
  }
  if (has(asks_clip)) {
    networks.clip =
        load_clip_cosine(request.clip, request.clip_tokenizer, request.device, networks.clip_protocol);
    networks.clip_ledger.emplace(out / "answers-clip.jsonl", networks.clip_protocol);
  }
  return networks;
}

// What is computed of one category; a value for each image.
struct Scored {
  std::vector<double> vqa = {}, spatial = {}, clip = {};
};

class Scorer {
 public:
  Scorer(const CompBenchRequest& request, const CompBenchInputs& inputs, const fs::path& out)
      : request_(request), inputs_(inputs), out_(out), networks_(open_networks(request, inputs, out)) {}

  void score(const CategoryPrompts& prompts, CompBenchResult& result) {
    Scored scored;
    const std::string word = word_of(prompts.category);
    const fs::path folder = out_ / word;
    std::vector<std::string> hashes;
    Progress progress("hash the images of " + word, int64_t(prompts.images.size()), "image");
    for (const auto& image : prompts.images) {
      hashes.push_back(formats::sha256_of_file(image));
      progress.update(int64_t(hashes.size()));
    }
    for (const auto& hash : hashes) set_hash_.push_back(hash);
    if (asks_vqa(prompts.category)) scored.vqa = vqa_scores(prompts, hashes, folder);
    if (needs_boxes(prompts.category)) scored.spatial = spatial_scores(prompts, folder);
    if (asks_clip(prompts.category)) scored.clip = clip_scores(prompts, hashes, folder);
    add_values(prompts, scored, folder, result);
  }

  const Networks& networks() const { return networks_; }
  std::string images_sha256() {
    std::sort(set_hash_.begin(), set_hash_.end());
    formats::Sha256 hash;
    for (const auto& one : set_hash_) hash.add(one);
    return hash.hex();
  }

 private:
  const PromptParts& parts_of(const CategoryPrompts& prompts, size_t image) const {
    return prompts.parts[image / size_t(request_.images_per_prompt)];
  }

  std::vector<double> vqa_scores(const CategoryPrompts& prompts, const std::vector<std::string>& hashes,
                                 const fs::path& folder) {
    VqaFiles files;
    std::vector<AskedImage> asked;
    for (size_t i = 0; i < prompts.images.size(); ++i) {
      files.images.push_back(prompts.images[i].generic_string());
      files.questions.push_back(parts_of(prompts, i).questions);
      for (const auto& question : files.questions.back())
        asked.push_back({name_below(request_, prompts.images[i]), hashes[i], question + "?"});
    }
    const auto answers = answers_to(asked, prompts.category);
    size_t at = 0;
    for (const auto& questions : files.questions) {
      const auto begin = answers.begin() + std::ptrdiff_t(at);
      files.probabilities.emplace_back(begin, begin + std::ptrdiff_t(questions.size()));
      files.scores.push_back(product_of_answers(files.probabilities.back()));
      at += questions.size();
    }
    write_vqa_files(folder, files);
    return files.scores;
  }

  std::vector<double> answers_to(const std::vector<AskedImage>& asked, CompBenchCategory category) {
    if (networks_.vqa_ledger)
      return answered(asked, *networks_.vqa_ledger, "ask about the images of " + word_of(category),
                      [&](const std::vector<AskedImage>& part) {
                        std::vector<VisualQuestion> questions;
                        for (const auto& one : part)
                          questions.push_back({(request_.images / one.image).string(), one.question});
                        return networks_.vqa(questions);
                      });
    std::vector<double> answers;
    for (const auto& one : asked)
      answers.push_back(*answer_of(inputs_, request_, request_.images / one.image, one.question));
    return answers;
  }

  std::vector<double> spatial_scores(const CategoryPrompts& prompts, const fs::path& folder) const {
    std::vector<std::string> names;
    std::vector<double> scores;
    for (size_t i = 0; i < prompts.images.size(); ++i) {
      const auto& prompt = prompts.prompts[i / size_t(request_.images_per_prompt)];
      names.push_back(prompts.images[i].filename().string());
      scores.push_back(spatial_score(prompt, parts_of(prompts, i).objects,
                                     *boxes_of(inputs_, request_, prompts.images[i])));
    }
    write_spatial_files(folder, names, scores);
    return scores;
  }

  std::vector<double> clip_scores(const CategoryPrompts& prompts, const std::vector<std::string>& hashes,
                                  const fs::path& folder) {
    std::vector<AskedImage> asked;
    for (size_t i = 0; i < prompts.images.size(); ++i)
      asked.push_back({name_below(request_, prompts.images[i]), hashes[i], parts_of(prompts, i).text});
    const auto scores =
        answered(asked, *networks_.clip_ledger, "compare the images of " + word_of(prompts.category),
                 [&](const std::vector<AskedImage>& part) {
                   std::vector<ClipQuestion> questions;
                   for (const auto& one : part)
                     questions.push_back({request_.images / one.image, one.question});
                   return networks_.clip(questions);
                 });
    write_clip_files(folder, scores);
    return scores;
  }

  void add_values(const CategoryPrompts& prompts, const Scored& scored, const fs::path& folder,
                  CompBenchResult& result) const {
    const std::string name = "compbench_" + word_of(prompts.category);
    if (prompts.category != CompBenchCategory::kComplex) {
      const auto& own = !scored.vqa.empty()       ? scored.vqa
                        : !scored.spatial.empty() ? scored.spatial
                                                  : scored.clip;
      result.values.emplace_back(name, mean_of(own));
      return;
    }
    std::vector<double> together;
    for (size_t i = 0; i < scored.vqa.size(); ++i)
      together.push_back(three_in_one(prompts.kinds[i / size_t(request_.images_per_prompt)], scored.vqa[i],
                                      scored.spatial[i], scored.clip[i]));
    write_three_in_one_files(folder, together);
    result.values.emplace_back(name, mean_of(together));
    result.values.emplace_back(name + "_vqa", mean_of(scored.vqa));
    result.values.emplace_back(name + "_spatial", mean_of(scored.spatial));
    result.values.emplace_back(name + "_clip", mean_of(scored.clip));
  }

  const CompBenchRequest& request_;
  const CompBenchInputs& inputs_;
  fs::path out_;
  Networks networks_;
  std::vector<std::string> set_hash_;
};

// --- the card

ordered_json protocol_of(const CompBenchRequest& request, const CompBenchInputs& inputs,
                         const Networks& networks) {
  ordered_json protocol = {{"benchmark", "T2I-CompBench"}, {"images_per_prompt", request.images_per_prompt}};
  for (const auto& prompts : inputs.categories)
    protocol["prompts_sha256"][word_of(prompts.category)] = prompts.sha256;
  // The questions themselves: a file with the chunks of this program is the same protocol.
  formats::Sha256 questions;
  for (const auto& prompts : inputs.categories)
    for (const auto& parts : prompts.parts) {
      for (const auto& question : parts.questions) questions.add(question + "?\n");
      if (parts.objects) questions.add(parts.objects->first + "\n" + parts.objects->second + "\n");
      questions.add(parts.text + "\n\n");
    }
  protocol["questions_sha256"] = questions.hex();
  if (!networks.vqa_protocol.empty()) protocol["vqa"] = formats::parse_ordered(networks.vqa_protocol);
  if (!request.answers.empty()) protocol["answers_sha256"] = formats::sha256_of_file(request.answers);
  if (!request.boxes.empty()) protocol["boxes_sha256"] = formats::sha256_of_file(request.boxes);
  if (!networks.clip_protocol.empty()) protocol["clip"] = formats::parse_ordered(networks.clip_protocol);
  const ordered_json sampling = sampling_of(request.images);
  if (sampling.is_object()) protocol["sampling"] = sampling;
  return protocol;
}

std::string card_of(const CompBenchRequest& request, const ordered_json& protocol,
                    const CompBenchInputs& inputs, const std::string& images_sha256,
                    const CompBenchResult& result) {
  ordered_json card = {{"kind", kCardKind}, {"scores", ordered_json::object()}, {"protocol", protocol}};
  for (const auto& [name, value] : result.values) card["scores"][name] = value;
  const auto images = request.images.lexically_normal();
  card["images"] = {{"name", (images.has_filename() ? images : images.parent_path()).filename().string()},
                    {"sha256", images_sha256}};
  card["questions"] = request.questions.empty() ? "of this program" : request.questions.filename().string();
  // Objects and texts are in the hash of the questions: where two taggers make the same, scores compare.
  if (inputs.tagger)
    card["tagger"] = {{"name", inputs.tagger->name},
                      {"version", inputs.tagger->version},
                      {"sha256", inputs.tagger->sha256}};
  card["machine"] = {{"software", producer()}, {"device", request.device}};
  card["notes"] = result.notes;
  return card.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

CompBenchResult score_compbench(const CompBenchRequest& request) {
  const CompBenchInputs inputs = open_compbench(request);
  const fs::path out = request.out.empty() ? request.images : request.out;
  create_folders(out);
  const auto lock = FileLock::try_lock(out);
  if (!lock)
    throw UserError(fmt::format("{} is in use: another process writes scores there.", out.string()),
                    ExitCode::kFolderOwned);
  CompBenchResult result;
  Scorer scorer(request, inputs, out);
  for (const auto& prompts : inputs.categories) scorer.score(prompts, result);
  result.table = compbench_table(result.values);
  result.notes = notes_on_published_rows(!request.questions.empty());
  if (inputs.tagger)
    result.notes.push_back(fmt::format(
        "Objects of spatial and complex prompts, and the texts of complex ones, are those of {} {}.",
        inputs.tagger->name, inputs.tagger->version));
  if (request.images_per_prompt != kOfficialImages)
    result.notes.push_back(fmt::format("{} images of each prompt; the benchmark has {}.",
                                       request.images_per_prompt, kOfficialImages));
  result.card = card_of(request, protocol_of(request, inputs, scorer.networks()), inputs,
                        scorer.images_sha256(), result);
  return result;
}

std::string compbench_questions(const fs::path& folder, const std::vector<CompBenchCategory>& given,
                                const fs::path& wordnet, const fs::path& tagger_folder) {
  Problems problems;
  auto categories = given;
  std::error_code error;
  if (categories.empty())
    for (const auto& [word, category] : enum_words(CompBenchCategory{}))
      if (fs::exists(folder / (std::string(word) + "_val.txt"), error)) categories.push_back(category);
  if (categories.empty())
    problems.add("it has no prompts: give the benchmark's folder examples/dataset, with color_val.txt in it");
  std::optional<text::NounChunker> chunker;
  attempt(problems, [&] { chunker.emplace(wordnet); });
  const auto tagger = open_tagger(tagger_folder, problems);
  std::string lines;
  for (const auto category : categories) {
    auto prompts = read_category(folder, category, problems);
    if (!chunker) continue;
    fill_parts(*chunker, tagger ? &*tagger : nullptr, prompts);
    for (size_t i = 0; i < prompts.prompts.size(); ++i) {
      const auto& parts = prompts.parts[i];
      ordered_json row = {
          {"category", word_of(category)}, {"prompt", prompts.prompts[i]}, {"chunks", parts.questions}};
      if (parts.objects && needs_boxes(category))
        row["objects"] = {parts.objects->first, parts.objects->second};
      if (category == CompBenchCategory::kComplex) row["text"] = parts.text;
      lines += row.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
    }
  }
  problems.throw_if_any(folder.string());
  return lines;
}

}  // namespace pixart::score
