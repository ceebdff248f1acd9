#include "clip_vocabulary.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"

namespace pixart::text {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestFile = uint64_t{32} << 20, kMostTokens = uint64_t{1} << 24;
constexpr size_t kLongestShown = 100;
constexpr const char *kVocabulary = "vocab.json", *kMerges = "merges.txt", *kTokenizer = "tokenizer.json";

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
  throw UserError(fmt::format("{}: {}. Copy the tokenizer of the CLIP model again.", file.string(), reason));
}

json read_object(const fs::path& file) {
  json root = json::parse(read_file(file, kLargestFile), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) refuse(file, "it is not a JSON object, or is cut or damaged");
  return root;
}

void read_ids(const json& object, const fs::path& file, ClipVocabulary& vocabulary) {
  if (!object.is_object()) refuse(file, "its vocabulary is not an object of tokens and numbers");
  std::set<int64_t> used;
  for (const auto& [token, id] : object.items()) {
    const bool is_id = id.is_number_unsigned() && id.get<uint64_t>() < kMostTokens;
    if (!is_id)
      refuse(file, fmt::format("the number of the token '{}' is {}", token.substr(0, kLongestShown),
                               id.is_primitive() ? id.dump().substr(0, kLongestShown) : id.type_name()));
    if (!used.insert(id.get<int64_t>()).second)
      refuse(file, fmt::format("two tokens have the number {}", id.get<int64_t>()));
    vocabulary.ids.emplace(token, id.get<int64_t>());
  }
}

// Two tokens with a blank between them.
void add_merge(const std::string& line, const fs::path& file, ClipVocabulary& vocabulary) {
  const size_t blank = line.find(' ');
  const bool is_pair = blank != std::string::npos && blank > 0 && blank + 1 < line.size() &&
                       line.find(' ', blank + 1) == std::string::npos;
  if (!is_pair) refuse(file, fmt::format("merge {} is not a pair of tokens", vocabulary.merges.size() + 1));
  vocabulary.merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
}

void read_merges(const fs::path& file, ClipVocabulary& vocabulary) {
  const auto lines = lines_of(read_file(file, kLargestFile));
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool is_heading = i == 0 && lines[i].starts_with("#version");
    if (!lines[i].empty() && !is_heading) add_merge(lines[i], file, vocabulary);
  }
}

// tokenizers writes "a b", and since 0.20 ["a", "b"].
void read_merges(const json& list, const fs::path& file, ClipVocabulary& vocabulary) {
  if (!list.is_array()) refuse(file, "its model has no list of merges");
  for (const json& merge : list) {
    const bool is_pair =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (is_pair)
      vocabulary.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    else
      add_merge(merge.is_string() ? merge.get<std::string>() : "", file, vocabulary);
  }
}

ClipVocabulary read_tokenizer_json(const fs::path& file) {
  const json root = read_object(file);
  const json model = root.value("model", json::object());
  const auto text_of = [&](const char* key) {
    const auto found = model.is_object() ? model.find(key) : model.end();
    return found != model.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (text_of("type") != "BPE" || text_of("end_of_word_suffix") != kEndOfWord)
    refuse(file,
           fmt::format("its model is not a byte-pair encoding with {} at the end of words, as that of CLIP",
                       kEndOfWord));
  ClipVocabulary vocabulary;
  read_ids(model.value("vocab", json()), file, vocabulary);
  read_merges(model.value("merges", json()), file, vocabulary);
  return vocabulary;
}

}  // namespace

ClipVocabulary read_clip_vocabulary(const fs::path& path) {
  if (!fs::is_directory(path)) return read_tokenizer_json(path);
  const bool has_both = fs::exists(path / kVocabulary) && fs::exists(path / kMerges);
  if (!has_both && fs::exists(path / kTokenizer)) return read_tokenizer_json(path / kTokenizer);
  if (!has_both)
    throw UserError(
        fmt::format("no tokenizer: {} has neither {} with {} nor {}. The folder of a CLIP model has "
                    "them, or the folder tokenizer next to it.",
                    path.string(), kVocabulary, kMerges, kTokenizer));
  ClipVocabulary vocabulary;
  read_ids(read_object(path / kVocabulary), path / kVocabulary, vocabulary);
  read_merges(path / kMerges, vocabulary);
  return vocabulary;
}

}  // namespace pixart::text
