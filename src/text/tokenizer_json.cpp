#include "tokenizer_json.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "character_map.h"
#include "pixart/base/base64.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "special_ids.h"
#include "unicode.h"

namespace pixart::text {
namespace {

using nlohmann::json;
using Pieces = std::vector<UnigramSegmenter::Piece>;

constexpr size_t kLargestTokenizerFile = size_t{32} << 20;  // that of mT5, with 250,000 pieces, has 16 MB
constexpr size_t kLongestPiece = 1024;                      // bytes; T5's longest has 20
constexpr double kLargestScore = 1e6;                       // logarithms of probabilities
constexpr std::string_view kMark = "\u2581";                // ▁
constexpr char32_t kMarkCodePoint = U'\u2581';

// What is wrong, without the name of the file.
struct Refusal {
  std::string reason;
};

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
  throw Refusal{fmt::format(text, std::forward<Args>(args)...)};
}

// For messages. Lists and objects may be large or deep, and are only named.
std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_null()) return "missing";
  if (value.is_string()) return "'" + value.get<std::string>() + "'";
  return value.dump();
}

const json& member(const json& object, const char* key) {
  static const json kMissing;
  const auto found = object.find(key);
  return found == object.end() ? kMissing : *found;
}

// The text in `object`.`key`; "" if it is not a text.
std::string text_of(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

bool is_true(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_boolean() && value.get<bool>();
}

const json& list_of(const json& object, const char* key) {
  const json& value = member(object, key);
  if (!value.is_array()) refuse("{} is {}, expected a list", key, shown(value));
  return value;
}

// The parts of a Sequence, in order; one part if it is not a Sequence; none if it is missing.
std::vector<const json*> steps_of(const json& part, const char* list) {
  if (part.is_null()) return {};
  if (text_of(part, "type") != "Sequence") return {&part};
  std::vector<const json*> steps;
  for (const json& step : list_of(part, list)) steps.push_back(&step);
  return steps;
}

std::string type_of(const json& part) { return shown(member(part, "type")); }

void check_model(const json& model) {
  if (text_of(model, "type") != "Unigram")
    refuse("the type of its model is {}, expected 'Unigram'", type_of(model));
  const json& unknown = member(model, "unk_id");
  if (!unknown.is_number_unsigned() || unknown.get<uint64_t>() != uint64_t(kUnknownId))
    refuse("unk_id of its model is {}, expected {}", shown(unknown), kUnknownId);
  const json& fallback = member(model, "byte_fallback");
  if (!fallback.is_null() && fallback != false)
    refuse("byte_fallback of its model is {}, which no T5 model has", shown(fallback));
}

UnigramSegmenter::Piece read_piece(const json& entry, int64_t id) {
  const bool is_pair = entry.is_array() && entry.size() == 2;
  if (!is_pair || !entry[0].is_string() || !entry[1].is_number())
    refuse("entry {} of its vocabulary is not a piece with a score", id);
  const auto& text = entry[0].get_ref<const std::string&>();
  const auto score = entry[1].get<double>();
  if (text.empty() || text.size() > kLongestPiece || text.find('\0') != std::string::npos)
    refuse("piece {} has {} bytes, expected 1 to {} without NUL", id, text.size(), kLongestPiece);
  if (!(std::abs(score) <= kLargestScore))
    refuse("the score {} of piece {} is not a log probability", score, id);
  return {text, float(score), id};
}

Pieces read_pieces(const json& vocabulary) {
  std::unordered_map<std::string, int64_t> seen;
  Pieces pieces;
  for (const json& entry : vocabulary) {
    pieces.push_back(read_piece(entry, int64_t(pieces.size())));
    const auto [first, is_new] = seen.emplace(pieces.back().text, pieces.back().id);
    if (!is_new) refuse("pieces {} and {} are both '{}'", first->second, pieces.back().id, first->first);
  }
  return pieces;
}

using Ids = std::map<std::string, int64_t>;

bool is_sentinel(const std::string& text) { return text.starts_with("<extra_id_") && text.ends_with('>'); }

// Moves the sentinels at the end of the pieces to `sentinels`.
void take_sentinels(Pieces& pieces, Ids& sentinels) {
  for (; !pieces.empty() && is_sentinel(pieces.back().text); pieces.pop_back())
    sentinels.emplace(pieces.back().text, pieces.back().id);
}

void read_added_token(const json& token, Ids& sentinels) {
  static const Ids kNamed = {{"<pad>", kPadId}, {"</s>", kEndId}, {"<unk>", kUnknownId}};
  const std::string text = text_of(token, "content");
  const json& number = member(token, "id");
  if (text.empty() || !number.is_number_unsigned() || number.get<uint64_t>() > INT64_MAX)
    refuse("one of its added tokens has the text '{}' and the id {}", text, shown(number));
  const auto id = number.get<int64_t>();
  const auto named = kNamed.find(text);
  if (named == kNamed.end() && !is_sentinel(text)) refuse("the added token '{}' is not one of T5's", text);
  const int64_t expected = named != kNamed.end() ? named->second : sentinels.emplace(text, id).first->second;
  if (id != expected) refuse("the added token '{}' has the id {}, expected {}", text, id, expected);
}

// <extra_id_0>, <extra_id_1>, ... have the ids after the pieces, in any order.
std::vector<int64_t> sentinel_ids(const Ids& sentinels, int64_t num_pieces) {
  const auto count = int64_t(sentinels.size());
  std::vector<bool> used(sentinels.size(), false);
  std::vector<int64_t> ids;
  for (int64_t k = 0; k < count; ++k) {
    const std::string text = fmt::format("<extra_id_{}>", k);
    const auto found = sentinels.find(text);
    if (found == sentinels.end()) refuse("it has {} tokens <extra_id_...>, but not {}", count, text);
    const int64_t place = found->second - num_pieces;
    if (place < 0 || place >= count || used[size_t(place)])
      refuse("{} has the id {}, expected one of its own from {} to {}", text, found->second, num_pieces,
             num_pieces + count - 1);
    used[size_t(place)] = true;
    ids.push_back(found->second);
  }
  return ids;
}

// How texts are cut at white space.
struct WordRule {
  bool splits_at_white_space = false;  // and drops it
  bool cuts_at_marks = false;          // no piece reaches over a mark
  bool marks_first_word = true;
};

constexpr const char* kNever = "never";  // no mark before the first word

// T5 was trained with a mark before the first word, and transformers 5 puts it there whatever the file says.
// transformers 4 writes "never" if it made the tokenizer of spiece.model without add_prefix_space, and
// "first" if that was with legacy: false.
void read_metaspace(const json& step, WordRule& rule) {
  if (text_of(step, "type") != "Metaspace") refuse("its pre-tokenizer {} is not supported", type_of(step));
  if (text_of(step, "replacement") != kMark)
    refuse("replacement of its Metaspace is {}, expected '{}'", shown(member(step, "replacement")), kMark);
  const json& scheme = member(step, "prepend_scheme");
  const std::set<std::string> of_transformers_4 = {kNever, "first"};
  rule.marks_first_word = scheme != kNever;
  const bool is_of_transformers_4 = !rule.splits_at_white_space && scheme.is_string() &&
                                    of_transformers_4.contains(scheme.get<std::string>());
  if (!is_of_transformers_4 && (scheme.is_null() ? !is_true(step, "add_prefix_space") : scheme != "always"))
    refuse("prepend_scheme of its Metaspace is {}, expected 'always'", shown(scheme));
}

WordRule read_word_rule(const json& pre_tokenizer) {
  auto steps = steps_of(pre_tokenizer, "pretokenizers");
  WordRule rule;
  rule.splits_at_white_space = !steps.empty() && text_of(*steps[0], "type") == "WhitespaceSplit";
  if (rule.splits_at_white_space) steps.erase(steps.begin());
  if (steps.size() != 1) refuse("its pre-tokenizer has {} steps, expected one Metaspace", steps.size());
  read_metaspace(*steps[0], rule);
  const json& split = member(*steps[0], "split");
  if (!split.is_null() && !split.is_boolean()) refuse("split of its Metaspace is {}", shown(split));
  rule.cuts_at_marks = rule.splits_at_white_space || split.is_null() || split.get<bool>();
  return rule;
}

// SentencePiece cuts a text as a whole. That is the same if no piece has a mark inside.
void check_marks(const Pieces& pieces) {
  for (const auto& piece : pieces)
    if (piece.text.find(kMark, 1) != std::string::npos)
      refuse("piece {} ('{}') has a {} inside, at which its Metaspace cuts", piece.id, piece.text, kMark);
}

std::string read_character_map(const json& step) {
  const json& text = member(step, "precompiled_charsmap");
  if (!text.is_string()) refuse("precompiled_charsmap of its normalizer is {}, expected a text", shown(text));
  auto map = from_base64(text.get_ref<const std::string&>());
  if (!map) refuse("precompiled_charsmap of its normalizer is not base64");
  if (const auto damage = damage_of_character_map(*map); !damage.empty())
    refuse("its precompiled_charsmap is damaged: {}", damage);
  return std::move(*map);
}

// What the steps after the character map do with spaces, to which the map turned all white space.
struct SpaceRule {
  bool strips_the_end = false, joins_runs = false;
};

void read_space_step(const json& step, SpaceRule& rule) {
  const bool strips = text_of(step, "type") == "Strip" && is_true(step, "strip_right") && !rule.joins_runs;
  const std::string content = text_of(step, "content");
  const bool joins = text_of(step, "type") == "Replace" &&
                     text_of(member(step, "pattern"), "Regex") == " {2,}" &&
                     (content == " " || (content == kMark && rule.strips_the_end));
  if (!strips && !joins)
    refuse("its normalizer has the step {} with settings that T5 does not have", type_of(step));
  rule.strips_the_end |= strips;
  rule.joins_runs |= joins;
}

std::string read_normalizer(const json& normalizer, const WordRule& words) {
  auto steps = steps_of(normalizer, "normalizers");
  if (steps.empty() && words.splits_at_white_space) return "";
  if (steps.empty() || text_of(*steps[0], "type") != "Precompiled")
    refuse("its normalizer begins with {}, expected 'Precompiled' (SentencePiece's character map)",
           steps.empty() ? "nothing" : type_of(*steps[0]));
  std::string map = read_character_map(*steps[0]);
  SpaceRule spaces;
  for (size_t i = 1; i < steps.size(); ++i) read_space_step(*steps[i], spaces);
  if (!words.splits_at_white_space && !(spaces.strips_the_end && spaces.joins_runs))
    refuse("it keeps white space at the end of a text or between words, which T5 does not");
  return map;
}

// single: the text, then </s>.
void check_post_processor(const json& processor) {
  if (text_of(processor, "type") != "TemplateProcessing")
    refuse("its post-processor is {}, expected a TemplateProcessing that adds </s>", type_of(processor));
  const json& single = list_of(processor, "single");
  const json& ids = member(member(member(processor, "special_tokens"), "</s>"), "ids");
  const bool adds_end = single.size() == 2 && member(single[0], "Sequence").is_object() &&
                        text_of(member(single[1], "SpecialToken"), "id") == "</s>";
  const bool has_id = ids.is_array() && ids.size() == 1 && ids[0].is_number_unsigned() &&
                      ids[0].get<uint64_t>() == uint64_t(kEndId);
  if (!adds_end || !has_id)
    refuse("its post-processor does not add exactly </s> (id {}) after a text", kEndId);
}

TokenizerJson parse(std::string_view bytes) {
  if (bytes.size() > kLargestTokenizerFile)
    refuse("it has {}, at most {} are read", human_bytes(bytes.size()), human_bytes(kLargestTokenizerFile));
  const json root = json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) refuse("it is not a JSON object, or is cut or damaged");
  const json& model = member(root, "model");
  check_model(model);
  TokenizerJson result;
  result.pieces = read_pieces(list_of(model, "vocab"));
  Ids sentinels;
  take_sentinels(result.pieces, sentinels);
  const json& added = member(root, "added_tokens");
  if (!added.is_null())
    for (const json& token : list_of(root, "added_tokens")) read_added_token(token, sentinels);
  result.sentinels = sentinel_ids(sentinels, int64_t(result.pieces.size()));
  const WordRule words = read_word_rule(member(root, "pre_tokenizer"));
  if (words.cuts_at_marks) check_marks(result.pieces);
  result.character_map = read_normalizer(member(root, "normalizer"), words);
  result.marks_first_word = words.marks_first_word;
  check_post_processor(member(root, "post_processor"));
  return result;
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view bytes, const std::string& name) {
  try {
    return parse(bytes);
  } catch (const Refusal& refusal) {
    throw UserError(fmt::format(
        "{}: {}. Only a tokenizer that transformers writes for a T5 model is read. Put the model's "
        "spiece.model into the same folder: it is used instead.",
        name, refusal.reason));
  }
}

bool is_white_space(char32_t code_point) {
  return is_space(code_point) && !(code_point >= 0x1C && code_point <= 0x1F);
}

std::string marked_words(std::string_view text) {
  std::string words;
  bool begins_word = true;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t code_point = next_code_point(text, at);
    const bool is_blank = is_white_space(code_point);
    if (begins_word && !is_blank && code_point != kMarkCodePoint) words += kMark;
    if (!is_blank) words += text.substr(start, at - start);
    begins_word = is_blank;
  }
  return words;
}

}  // namespace pixart::text
