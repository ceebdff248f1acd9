#include "bert_vocabulary.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"

namespace pixart::text {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

using Ids = std::unordered_map<std::string, int64_t>;

constexpr uint64_t kLargestFile = uint64_t{32} << 20, kMostTokens = uint64_t{1} << 24;
constexpr size_t kLongestShown = 100;
constexpr const char *kVocabulary = "vocab.txt", *kTokenizer = "tokenizer.json";

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
  throw UserError(
      fmt::format("{}: {}. Copy the tokenizer of bert-base-uncased again.", file.string(), reason));
}

Ids read_lines(const fs::path& file) {
  auto lines = pixart::lines_of(read_file(file, kLargestFile));
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  Ids ids;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string& token = lines[i];
    if (token.ends_with('\r')) token.pop_back();
    if (token.empty()) refuse(file, fmt::format("line {} is empty", i + 1));
    if (!ids.emplace(token, int64_t(i)).second)
      refuse(file, fmt::format("line {} has the token '{}' again", i + 1, token.substr(0, kLongestShown)));
  }
  return ids;
}

// What a part of tokenizer.json says, as JSON; "null" if it is not there.
std::string said(const json& root, const char* part, const char* key) {
  const auto found = root.find(part);
  return found != root.end() && found->is_object() ? found->value(key, json()).dump() : json().dump();
}

// Other normalisers and models cut texts in another way.
void check_parts(const json& root, const fs::path& file) {
  const auto expect = [&](const char* part, const char* key, const json& wanted) {
    const std::string is = said(root, part, key);
    if (is != wanted.dump())
      refuse(file, fmt::format("{}.{} is {}, and {} in the tokenizer of bert-base-uncased", part, key,
                               is.substr(0, kLongestShown), wanted.dump()));
  };
  expect("model", "type", "WordPiece");
  expect("model", "continuing_subword_prefix", "##");
  expect("model", "unk_token", "[UNK]");
  expect("normalizer", "type", "BertNormalizer");
  expect("normalizer", "lowercase", true);
  expect("pre_tokenizer", "type", "BertPreTokenizer");
  for (const char* key : {"clean_text", "handle_chinese_chars"}) expect("normalizer", key, true);
  if (said(root, "normalizer", "strip_accents") == "false") refuse(file, "it keeps accents");
}

Ids read_tokenizer_json(const fs::path& file) {
  const json root = json::parse(read_file(file, kLargestFile), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) refuse(file, "it is not a JSON object, or is cut or damaged");
  check_parts(root, file);
  const json vocabulary = root["model"].value("vocab", json());
  if (!vocabulary.is_object()) refuse(file, "its vocabulary is not an object of tokens and numbers");
  Ids ids;
  std::set<int64_t> used;
  for (const auto& [token, id] : vocabulary.items()) {
    const bool is_id = id.is_number_unsigned() && id.get<uint64_t>() < kMostTokens;
    if (!is_id || token.empty())
      refuse(file, fmt::format("the number of the token '{}' is {}", token.substr(0, kLongestShown),
                               id.is_primitive() ? id.dump().substr(0, kLongestShown) : id.type_name()));
    if (!used.insert(id.get<int64_t>()).second)
      refuse(file, fmt::format("two tokens have the number {}", id.get<int64_t>()));
    ids.emplace(token, id.get<int64_t>());
  }
  return ids;
}

fs::path file_in(const fs::path& path) {
  if (!fs::is_directory(path)) return path;
  for (const char* name : {kVocabulary, kTokenizer})
    if (fs::exists(path / name)) return path / name;
  throw UserError(fmt::format("no tokenizer: {} has neither {} nor {} of bert-base-uncased.", path.string(),
                              kVocabulary, kTokenizer));
}

}  // namespace

Ids read_bert_vocabulary(const fs::path& path) {
  const fs::path file = file_in(path);
  const Ids ids = file.extension() == ".json" ? read_tokenizer_json(file) : read_lines(file);
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]"})
    if (!ids.contains(token)) refuse(file, fmt::format("its vocabulary has no token {}", token));
  if (ids.at("[PAD]") != 0) refuse(file, fmt::format("[PAD] has the number {}, not 0", ids.at("[PAD]")));
  return ids;
}

}  // namespace pixart::text
