#include "pixart/text/spacy_tagger.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "spacy_network.h"
#include "spacy_rules.h"
#include "spacy_tokenizer.h"
#include "spacy_words.h"
#include "unicode.h"

namespace pixart::text {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestPipelineFile = uint64_t{64} << 20, kLargestJson = uint64_t{1} << 20;
constexpr size_t kMostLabels = 10'000, kShownOfMeta = 100;
constexpr const char *kTokenizerFile = "tokenizer", *kTok2VecFile = "tok2vec/model",
                     *kTaggerFile = "tagger/model", *kLabelsFile = "tagger/cfg",
                     *kRulesFile = "attribute_ruler/patterns", *kNormsFile = "vocab/lookups.bin",
                     *kMetaFile = "meta.json";
constexpr const char* kWhatIsRead =
    "The folder of an English pipeline of spaCy 3 with tok2vec, tagger and attribute_ruler is read, as en_core_web_sm is.";

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
  throw UserError(fmt::format("{}: {}. {}", file.string(), reason, kWhatIsRead));
}

// Its bytes. A pipe would never end.
std::string bytes_of(const fs::path& file, uint64_t most) {
  std::error_code error;
  const auto status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) refuse(file, "it is missing");
  if (fs::exists(status) && !fs::is_regular_file(status)) refuse(file, "it is not a regular file");
  return read_file(file, most);
}

// read(what the file holds), with errors that name the file.
template <class Read>
auto read_packed(const fs::path& file, const std::string& bytes, const Read& read) {
  try {
    return read(read_msgpack(bytes));
  } catch (const PackedError& failure) {
    refuse(file, failure.what());
  }
}

json json_of(const fs::path& file, const std::string& bytes) {
  const auto value = json::parse(bytes, nullptr, false);
  if (!value.is_object()) refuse(file, "it is not a JSON object");
  return value;
}

std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::vector<std::string> texts_in(const fs::path& file, const json& object, const char* key) {
  const auto found = object.find(key);
  const auto is_text = [](const json& value) { return value.is_string(); };
  if (found == object.end() || !found->is_array() || !std::all_of(found->begin(), found->end(), is_text))
    refuse(file, fmt::format("'{}' is not a list of texts", key));
  return found->get<std::vector<std::string>>();
}

// A Python package has the pipeline's folder in its own.
fs::path pipeline_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw UserError(fmt::format("{} is not a folder. {}", folder.string(), kWhatIsRead));
  if (fs::exists(folder / kTokenizerFile, error)) return folder;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (std::error_code unused; fs::exists(at->path() / kTokenizerFile, unused)) found.push_back(at->path());
  if (found.size() > 1)
    refuse(folder, fmt::format("{} pipelines are in it; name the folder of one", found.size()));
  return found.size() == 1 ? found[0] : folder;
}

struct Meta {
  std::string name = {}, version = {};
};

// Components between the tokenizer and the attribute ruler that change neither words nor tags.
Meta meta_of(const fs::path& folder) {
  static const std::vector<std::string> kNeeded = {"tok2vec", "tagger", "attribute_ruler"};
  static const std::vector<std::string> kHarmless = {"parser", "senter", "sentencizer", "lemmatizer", "ner"};
  const fs::path file = folder / kMetaFile;
  const auto meta = json_of(file, bytes_of(file, kLargestJson));
  const auto language = text_in(meta, "lang");
  if (language != "en")
    refuse(file, fmt::format("the language is '{}', not 'en'", language.substr(0, kShownOfMeta)));
  const auto pipeline = texts_in(file, meta, "pipeline");
  auto needed = kNeeded.begin();
  for (const auto& component : pipeline) {
    if (needed != kNeeded.end() && component == *needed)
      ++needed;
    else if (!contains(kHarmless, component))
      break;
  }
  const bool has_others = std::any_of(pipeline.begin(), pipeline.end(), [](const std::string& component) {
    return !contains(kNeeded, component) && !contains(kHarmless, component);
  });
  if (needed != kNeeded.end() || has_others)
    refuse(file, fmt::format("the pipeline is {}; the order {} is read, and {} may be in it",
                             join(pipeline, ", ").substr(0, 3 * kShownOfMeta), join(kNeeded, ", "),
                             join(kHarmless, ", ")));
  return {.name = "en_" + text_in(meta, "name"), .version = text_in(meta, "version")};
}

std::vector<std::string> labels_of(const fs::path& file, const std::string& bytes) {
  auto labels = texts_in(file, json_of(file, bytes), "labels");
  if (labels.empty() || labels.size() > kMostLabels)
    refuse(file, fmt::format("it has {} labels", labels.size()));
  return labels;
}

SpacyNorms norms_of(const Packed& lookups) {
  SpacyNorms norms;
  const auto* table = lookups.find("lexeme_norm");
  if (table == nullptr) return norms;
  if (!table->is(Packed::Kind::kMap)) throw PackedError("'lexeme_norm' is not a map");
  for (size_t i = 0; i + 1 < table->items.size(); i += 2)
    norms[uint64_t(table->items[i].as_integer())] = std::string(table->items[i + 1].as_text());
  return norms;
}

// The files of a pipeline, read once, and the hash of all of them.
class PipelineFiles {
 public:
  explicit PipelineFiles(fs::path folder) : folder_(std::move(folder)) {}
  fs::path path(const char* name) const { return folder_ / name; }
  // A file that is there and cannot be read counts as there.
  bool has(const char* name) const {
    std::error_code error;
    return fs::symlink_status(path(name), error).type() != fs::file_type::not_found;
  }
  std::string read(const char* name, uint64_t most = kLargestPipelineFile) {
    auto bytes = bytes_of(path(name), most);
    hash_.add(fmt::format("{} {}\n", name, formats::sha256(bytes)));
    return bytes;
  }
  template <class Read>
  auto read_packed(const char* name, const Read& take) {
    const auto bytes = read(name);
    return text::read_packed(path(name), bytes, take);
  }
  std::string sha256() { return hash_.hex(); }

 private:
  fs::path folder_;
  formats::Sha256 hash_;
};

}  // namespace

struct SpacyTagger::State {
  Meta meta;
  SpacyTokenizer tokenizer;
  SpacyNorms norms;
  SpacyTok2Vec tok2vec;
  std::vector<std::string> labels;
  SpacyLabels layer;
  SpacyRules rules;
  std::string sha256;

  SpacyFeatures features_of(const SpacyToken& token) const {
    SpacyFeatures features{};
    const auto set = [&](SpacyFeature feature, uint64_t value) { features[size_t(feature)] = value; };
    set(SpacyFeature::kNorm,
        spacy_string_id(token.norm.empty() ? spacy_norm(token.text, norms) : std::string(token.norm)));
    set(SpacyFeature::kPrefix, spacy_string_id(spacy_prefix(token.text)));
    set(SpacyFeature::kSuffix, spacy_string_id(spacy_suffix(token.text)));
    set(SpacyFeature::kShape, spacy_string_id(spacy_shape(token.text)));
    set(SpacyFeature::kSpace, token.space ? 1 : 0);
    set(SpacyFeature::kIsSpace, is_all_space(token.text) ? 1 : 0);
    return features;
  }

  std::vector<RuledToken> ruled(const std::vector<SpacyToken>& tokens) const {
    std::vector<SpacyFeatures> features;
    for (const auto& token : tokens) features.push_back(features_of(token));
    const auto best = layer.best(tok2vec.vectors(features));
    std::vector<RuledToken> words;
    for (size_t i = 0; i < tokens.size(); ++i)
      words.push_back(
          {.lower = lower(tokens[i].text), .tag = labels[best[i]], .is_space = is_all_space(tokens[i].text)});
    rules.apply(words);
    return words;
  }
};

SpacyTagger::SpacyTagger(const fs::path& given) {
  const auto folder = pipeline_folder(given);
  auto meta = meta_of(folder);
  PipelineFiles files(folder);
  auto tokenizer = files.read_packed(kTokenizerFile, [](const Packed& file) { return SpacyTokenizer(file); });
  auto norms = files.has(kNormsFile) ? files.read_packed(kNormsFile, norms_of) : SpacyNorms();
  auto tok2vec = files.read_packed(kTok2VecFile, [](const Packed& file) { return SpacyTok2Vec(file); });
  auto labels = labels_of(files.path(kLabelsFile), files.read(kLabelsFile, kLargestJson));
  auto layer = files.read_packed(
      kTaggerFile, [&](const Packed& file) { return SpacyLabels(file, tok2vec.width(), labels.size()); });
  auto rules = files.read_packed(kRulesFile, [](const Packed& file) { return SpacyRules(file); });
  state_ = std::make_unique<State>(State{std::move(meta), std::move(tokenizer), std::move(norms),
                                         std::move(tok2vec), std::move(labels), std::move(layer),
                                         std::move(rules), files.sha256()});
}
SpacyTagger::~SpacyTagger() = default;
SpacyTagger::SpacyTagger(SpacyTagger&&) noexcept = default;

std::vector<TaggedWord> SpacyTagger::words(std::string_view given) const {
  const std::string text = replace_invalid_utf8(given);
  const auto tokens = state_->tokenizer.split(text);
  const auto ruled = state_->ruled(tokens);
  std::vector<TaggedWord> words;
  for (size_t i = 0; i < tokens.size(); ++i)
    words.push_back({std::string(tokens[i].text), size_t(tokens[i].text.data() - text.data()), ruled[i].tag,
                     ruled[i].part});
  return words;
}

std::string without_adjectives(const std::vector<TaggedWord>& words) {
  std::vector<std::string> kept;
  for (const auto& word : words)
    if (word.part != "ADJ") kept.push_back(word.text);
  return join(kept, " ");
}

const std::string& SpacyTagger::name() const { return state_->meta.name; }
const std::string& SpacyTagger::version() const { return state_->meta.version; }
const std::string& SpacyTagger::sha256() const { return state_->sha256; }

}  // namespace pixart::text
