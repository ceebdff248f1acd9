#include "spacy_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace pixart::text {
namespace {

constexpr const char *kYes = "true", *kNo = "false";

std::string text_or_empty(const Packed& map, const char* key) {
  const auto* found = map.find(key);
  return found == nullptr ? "" : std::string(found->as_text());
}

std::string value_of_condition(const Packed& value) {
  if (value.is(Packed::Kind::kBool)) return value.integer != 0 ? kYes : kNo;
  return std::string(value.as_text());
}

}  // namespace

SpacyRules::Condition SpacyRules::condition_of(std::string_view name, const Packed& value) {
  Condition condition;
  if (name == "TAG")
    condition.field = Field::kTag;
  else if (name == "LOWER")
    condition.field = Field::kLower;
  else if (name == "DEP")
    condition.field = Field::kDep;
  else if (name == "IS_SPACE")
    condition.field = Field::kIsSpace;
  else
    throw PackedError(fmt::format("a rule asks for {}; TAG, LOWER, DEP and IS_SPACE are read", name));
  if (!value.is(Packed::Kind::kMap)) {
    condition.values.push_back(value_of_condition(value));
    return condition;
  }
  const auto *among = value.find("IN"), *others = value.find("NOT_IN");
  if (value.items.size() != 2 || (among == nullptr && others == nullptr))
    throw PackedError(fmt::format("a rule compares {} in another way than by IN or NOT_IN", name));
  condition.is_among = among != nullptr;
  for (const auto& one : (among != nullptr ? among : others)->list())
    condition.values.push_back(value_of_condition(one));
  return condition;
}

SpacyRules::Rule SpacyRules::rule_of(const Packed& packed) {
  const auto& attributes = packed.at("attrs");
  Rule rule{.tag = text_or_empty(attributes, "TAG"), .part = text_or_empty(attributes, "POS")};
  if (rule.tag.empty() && rule.part.empty()) return rule;
  if (const auto* index = packed.find("index")) rule.index = index->as_integer();
  for (const auto& tokens : packed.at("patterns").list()) {
    Pattern pattern;
    for (const auto& token : tokens.list()) {
      if (!token.is(Packed::Kind::kMap)) throw PackedError("a token of a pattern is not a map");
      auto& conditions = pattern.emplace_back();
      for (size_t i = 0; i + 1 < token.items.size(); i += 2)
        conditions.push_back(condition_of(token.items[i].as_text(), token.items[i + 1]));
    }
    const auto size = int64_t(pattern.size());
    if (rule.index >= size || rule.index < -size)
      throw PackedError(fmt::format("a rule is for token {} of {}", rule.index, size));
    rule.patterns.push_back(std::move(pattern));
  }
  return rule;
}

SpacyRules::SpacyRules(const Packed& file) {
  for (const auto& packed : file.list()) {
    auto rule = rule_of(packed);
    if (!rule.patterns.empty()) rules_.push_back(std::move(rule));
  }
  if (rules_.empty()) throw PackedError("it has no rule that says a part of speech");
}

bool SpacyRules::holds(const Condition& condition, const RuledToken& token) {
  const auto is_there = [&](std::string_view value) {
    return std::find(condition.values.begin(), condition.values.end(), value) != condition.values.end();
  };
  switch (condition.field) {
    case Field::kTag:
      return is_there(token.tag) == condition.is_among;
    case Field::kLower:
      return is_there(token.lower) == condition.is_among;
    case Field::kDep:
      return is_there("") == condition.is_among;
    case Field::kIsSpace:
      return is_there(token.is_space ? kYes : kNo) == condition.is_among;
  }
  return false;
}

bool SpacyRules::matches(const Pattern& pattern, const std::vector<RuledToken>& tokens, size_t begin) {
  for (size_t i = 0; i < pattern.size(); ++i)
    if (!std::all_of(pattern[i].begin(), pattern[i].end(),
                     [&](const Condition& condition) { return holds(condition, tokens[begin + i]); }))
      return false;
  return true;
}

void SpacyRules::apply(std::vector<RuledToken>& tokens) const {
  const auto before = tokens;
  for (const auto& rule : rules_)
    for (const auto& pattern : rule.patterns)
      for (size_t begin = 0; begin + pattern.size() <= before.size(); ++begin) {
        if (!matches(pattern, before, begin)) continue;
        const auto index = rule.index < 0 ? rule.index + int64_t(pattern.size()) : rule.index;
        auto& token = tokens[begin + size_t(index)];
        if (!rule.tag.empty()) token.tag = rule.tag;
        if (!rule.part.empty()) token.part = rule.part;
      }
}

}  // namespace pixart::text
