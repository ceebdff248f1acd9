#include "pixart/text/tokenizer.h"

#include <ATen/ATen.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "sentencepiece_model.h"
#include "special_ids.h"
#include "tokenizer_json.h"
#include "unicode.h"
#include "unigram.h"

namespace pixart::text {
namespace fs = std::filesystem;
namespace {

// A part of a text: a special token, or the text between two of them.
struct Part {
  std::string_view text;
  int64_t id = -1;           // id of the special token; -1: text
  bool eats_spaces = false;  // a sentinel removes the white space on both sides
};

constexpr uint64_t kMostExtraIds = 1'000'000, kLargestConfig = uint64_t{16} << 20;
constexpr size_t kLongestShown = 100;
constexpr const char* kSentencePieceName = "spiece.model";
constexpr const char* kFileNames[] = {kSentencePieceName, "tokenizer.json"};  // the first one found is used

struct Files {
  fs::path model;
  int64_t extra_ids = 0;
};

// tokenizer.json holds its own extra ids.
Files find_files(const fs::path& path, int64_t extra_ids) {
  if (!fs::is_directory(path)) return {path, extra_ids};
  const auto found = tokenizer_file(path);
  if (!found)
    throw UserError(fmt::format(
        "no tokenizer: spiece.model and tokenizer.json are missing in {}. The tokenizer folder of a "
        "T5 model has one of them; in a pipeline the folder is called tokenizer.",
        path.string()));
  Files files{*found, extra_ids};
  const fs::path config = path / "tokenizer_config.json";
  if (found->filename() != kSentencePieceName || !fs::exists(config)) return files;
  const auto json =
      nlohmann::json::parse(read_file(config, kLargestConfig), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw UserError(fmt::format("{} is not a JSON object.", config.string()));
  const auto entry = json.find("extra_ids");
  if (entry == json.end() || entry->is_null()) return files;
  if (!entry->is_number_unsigned() || entry->get<uint64_t>() > kMostExtraIds)
    throw UserError(fmt::format(
        "{}: extra_ids is {}, expected a whole number from 0 to {}.", config.string(),
        entry->is_primitive() ? entry->dump().substr(0, kLongestShown) : entry->type_name(), kMostExtraIds));
  files.extra_ids = entry->get<int64_t>();
  return files;
}

// The k of "<extra_id_k>" at the start of `text`, without leading zeros, and the length of the token; or
// length 0.
struct Sentinel {
  int64_t number = 0;
  size_t length = 0;
};

Sentinel sentinel_at(std::string_view text) {
  constexpr std::string_view kStart = "<extra_id_";
  if (!text.starts_with(kStart)) return {};
  const char* const first = text.data() + kStart.size();
  const char* const last = text.data() + text.size();
  Sentinel sentinel;
  const auto [stop, error] = std::from_chars(first, last, sentinel.number);
  const bool canonical = error == std::errc() && *first != '-' && (*first != '0' || stop == first + 1);
  if (!canonical || stop == last || *stop != '>') return {};
  sentinel.length = size_t(stop + 1 - text.data());
  return sentinel;
}

// The folder of the tokenizer that belongs to `text_encoder` in a pipeline; "" if its name is another one.
fs::path sister_folder(const fs::path& text_encoder) {
  constexpr std::string_view kEncoder = "text_encoder";
  const fs::path folder = (fs::absolute(text_encoder) / "").lexically_normal().parent_path();
  const std::string name = folder.filename();
  if (!name.starts_with(kEncoder)) return {};
  return folder.parent_path() / ("tokenizer" + name.substr(kEncoder.size()));
}

}  // namespace

std::optional<fs::path> tokenizer_file(const fs::path& folder) {
  for (const char* name : kFileNames)
    if (fs::exists(folder / name)) return folder / name;
  return std::nullopt;
}

fs::path tokenizer_folder(const fs::path& text_encoder) {
  const fs::path sister = sister_folder(text_encoder);
  for (const char* name : kFileNames)
    for (const fs::path& folder : {text_encoder, sister})
      if (!folder.empty() && fs::exists(folder / name)) return folder;
  return text_encoder;
}

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor pieces;
  UnigramSegmenter segmenter;
  int64_t extra_ids = 0;
  std::vector<int64_t> sentinels =
      {};                         // [k]: id of <extra_id_k>; empty: T5's order, <extra_id_0> is the last
  bool only_marks_words = false;  // the file has no rules for the normaliser

  void load(const fs::path& file);
  void load_json(const std::string& bytes, const fs::path& file);
  void load_model(const std::string& bytes, const fs::path& file);
  std::string normalized(std::string_view text) const;
  Part special_at(std::string_view text) const;
  std::vector<Part> split(std::string_view text) const;
  std::vector<int64_t> encode(const std::string& text) const;  // without the final </s>
};

void Tokenizer::State::load(const fs::path& file) {
  const std::string bytes = read_file(file);
  const bool is_json = file.extension() == ".json" || bytes.starts_with('{');
  if (is_json)
    load_json(bytes, file);
  else
    load_model(bytes, file);
}

void Tokenizer::State::load_model(const std::string& bytes, const fs::path& file) {
  if (const auto damage = damage_of_character_maps(bytes); !damage.empty())
    throw UserError(fmt::format("{}: its character map is damaged: {}. Copy {} of the T5 model again.",
                                file.string(), damage, file.filename().string()));
  const auto status = pieces.LoadFromSerializedProto(bytes);
  if (!status.ok() || bytes.empty())
    throw UserError(fmt::format("{} is not a SentencePiece model ({}). Copy {} of the T5 model again.",
                                file.string(), bytes.empty() ? "the file is empty" : status.ToString(),
                                file.filename().string()));
  if (pieces.PieceToId("<pad>") != kPadId || pieces.PieceToId("</s>") != kEndId ||
      pieces.unk_id() != kUnknownId)
    throw UserError(fmt::format(
        "{} is not a T5 vocabulary: <pad>, </s> and <unk> have ids {}, {} and {}, expected {}, {} and {}.",
        file.string(), pieces.PieceToId("<pad>"), pieces.PieceToId("</s>"), pieces.unk_id(), kPadId, kEndId,
        kUnknownId));
  std::vector<UnigramSegmenter::Piece> normal;
  for (int id = 0; id < pieces.GetPieceSize(); ++id)
    if (!pieces.IsControl(id) && !pieces.IsUnknown(id) && !pieces.IsUnused(id))
      normal.push_back({pieces.IdToPiece(id), pieces.GetScore(id), id});
  for (const auto& piece : normal)
    if (!std::isfinite(piece.score))
      throw UserError(fmt::format("{}: piece {} has no finite score. Copy {} of the T5 model again.",
                                  file.string(), piece.id, file.filename().string()));
  segmenter = UnigramSegmenter(normal, kUnknownId);
}

namespace {

// tokenizers drops every white space between words, SentencePiece only spaces. Both are the same if the
// character map turns the others into spaces or removes them, as T5's does. It leaves U+0085, which
// SentencePiece, the reference, takes for a letter.
std::vector<char32_t> white_space_of_maps() {
  constexpr char32_t kLast = 0x3000, kNextLine = 0x85, kMark = 0x2581;
  std::vector<char32_t> symbols{kMark};
  for (char32_t symbol = 0; symbol <= kLast; ++symbol)
    if (is_white_space(symbol) && symbol != kNextLine) symbols.push_back(symbol);
  return symbols;
}

}  // namespace

void Tokenizer::State::load_json(const std::string& bytes, const fs::path& file) {
  TokenizerJson parsed = parse_tokenizer_json(bytes, file.string());
  load_model(sentencepiece_model(parsed.pieces, parsed.character_map), file);
  extra_ids = int64_t(parsed.sentinels.size());
  sentinels = std::move(parsed.sentinels);
  only_marks_words = parsed.character_map.empty();
  if (!parsed.marks_first_word)
    log::warning(
        "{}: its Metaspace leaves out the mark before the first word (prepend_scheme 'never'), as "
        "transformers 4 writes it for some tokenizers of T5. Here the first word gets its mark, as from T5's "
        "spiece.model.",
        file.string());
  if (only_marks_words)
    return log::warning(
        "{} has no character map (the first versions of transformers 5 lose it): ligatures, full-width "
        "letters and the like give other tokens than with the model's spiece.model.",
        file.string());
  for (const char32_t symbol : white_space_of_maps()) {
    std::string text;
    append_utf8(text, symbol);
    if (normalized(text + "a") != normalized("a"))
      throw UserError(
          fmt::format("{}: its character map keeps U+{:04X}, which T5's turns into a space. Use the "
                      "model's spiece.model.",
                      file.string(), uint32_t(symbol)));
  }
}

// Normalises by the rules inside the model file. SentencePiece 0.1.97 shows this text only cut into pieces.
std::string Tokenizer::State::normalized(std::string_view text) const {
  if (only_marks_words) return marked_words(text);
  std::vector<std::string> parts;
  const auto status = pieces.Encode({text.data(), text.size()}, &parts);
  PIXART_CHECK(status.ok(), "SentencePiece: {}", status.ToString());
  std::string joined;
  for (const auto& part : parts) joined += part;
  return joined;
}

Part Tokenizer::State::special_at(std::string_view text) const {
  constexpr std::pair<std::string_view, int64_t> kNamed[] = {
      {"<pad>", kPadId}, {"</s>", kEndId}, {"<unk>", kUnknownId}};
  for (const auto& [name, id] : kNamed)
    if (text.starts_with(name)) return {text.substr(0, name.size()), id};
  const Sentinel sentinel = sentinel_at(text);
  if (sentinel.length == 0 || sentinel.number >= extra_ids) return {};
  const int64_t id = sentinels.empty() ? pieces.GetPieceSize() + extra_ids - 1 - sentinel.number
                                       : sentinels[size_t(sentinel.number)];
  return {text.substr(0, sentinel.length), id, true};
}

std::vector<Part> Tokenizer::State::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at)) {
    const Part special = special_at(text.substr(at));
    if (special.id < 0) {
      ++at;
      continue;
    }
    if (at > done) parts.push_back({text.substr(done, at - done)});
    parts.push_back(special);
    at += special.text.size();
    done = at;
  }
  if (done < text.size()) parts.push_back({text.substr(done)});
  return parts;
}

std::vector<int64_t> Tokenizer::State::encode(const std::string& text) const {
  const std::string valid = replace_invalid_utf8(text);
  const std::vector<Part> parts = split(valid);
  std::vector<int64_t> ids;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].id >= 0) {
      ids.push_back(parts[i].id);
      continue;
    }
    std::string_view part = parts[i].text;
    if (i > 0 && parts[i - 1].eats_spaces) part = strip_left(part);
    if (i + 1 < parts.size() && parts[i + 1].eats_spaces) part = strip_right(part);
    if (part.empty()) continue;
    segmenter.append_ids(normalized(part), ids);
  }
  return ids;
}

namespace {

// A text that ends in a literal </s> does not get a second one.
void append_end(std::vector<int64_t>& ids) {
  if (ids.empty() || ids.back() != kEndId) ids.push_back(kEndId);
}

}  // namespace

Tokenizer::Tokenizer(const fs::path& path, int64_t extra_ids) : state_(std::make_unique<State>()) {
  const Files files = find_files(path, extra_ids);
  state_->extra_ids = files.extra_ids;
  state_->load(files.model);
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

int64_t Tokenizer::vocab_size() const { return state_->pieces.GetPieceSize() + state_->extra_ids; }

std::vector<int64_t> Tokenizer::encode(const std::string& text) const {
  std::vector<int64_t> ids = state_->encode(text);
  append_end(ids);
  return ids;
}

Tokens Tokenizer::encode_batch(const std::vector<std::string>& texts, int64_t max_length) const {
  PIXART_CHECK(max_length >= 1, "max_length {}", max_length);
  const auto count = int64_t(texts.size());
  Tokens tokens{
      at::full({count, max_length}, kPadId, at::kLong), at::zeros({count, max_length}, at::kLong), {}};
  for (int64_t row = 0; row < count; ++row) {
    std::vector<int64_t> ids = state_->encode(texts[size_t(row)]);
    std::vector<int64_t> whole = ids;
    append_end(whole);
    tokens.uncut.push_back(int64_t(whole.size()));
    if (int64_t(ids.size()) >= max_length) ids.resize(size_t(max_length - 1));
    append_end(ids);
    std::copy(ids.begin(), ids.end(), tokens.ids.data_ptr<int64_t>() + row * max_length);
    std::fill_n(tokens.mask.data_ptr<int64_t>() + row * max_length, ids.size(), 1);
  }
  return tokens;
}

}  // namespace pixart::text
