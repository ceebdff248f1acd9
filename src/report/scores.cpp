// The table of score cards.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "reading.h"
#include "sections.h"

namespace pixart::report {
namespace {

struct Shown {
  const ScoreCard* card;
  std::string run;
  size_t protocol;  // its group
};

std::vector<std::string> value_names(const std::vector<Shown>& cards) {
  std::vector<std::string> names;
  for (const auto& shown : cards)
    for (const auto& [name, value] : shown.card->values)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  return names;
}

std::string value_text(const ScoreCard& card, const std::string& name) {
  for (const auto& [own, value] : card.values)
    if (own == name) return fmt::format("{:.5g}", value);
  return "";
}

// Of a card in metrics/ stage and step, of another one its file.
std::string place_of(const ScoreCard& card) {
  return card.step < 0 ? card.file : fmt::format("{}, step {}", card.stage, with_thousands(card.step));
}

std::string cards_table(const std::vector<Shown>& cards, bool has_runs) {
  const auto names = value_names(cards);
  Table table{.head = {has_runs ? "run" : "card"}, .rows = {}, .numbers = 0};
  if (has_runs) table.head.push_back("card");
  table.head.push_back("protocol");
  table.head.insert(table.head.end(), names.begin(), names.end());
  for (const auto& shown : cards) {
    Cells row = {has_runs ? shown.run : place_of(*shown.card)};
    if (has_runs) row.push_back(place_of(*shown.card));
    row.push_back(protocol_letter(shown.protocol));
    for (const auto& name : names) row.push_back(value_text(*shown.card, name));
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

std::string protocol_text(const ScoreCard& card, const std::string& name) {
  for (const auto* part : {&card.protocol, &card.settings})
    if (const auto found = part->find(name); found != part->end()) return found->second;
  return "-";
}

// What the first cards of the protocols depend on, where they differ.
std::string differences_of(const CardGroups& groups) {
  Table table{.head = {"depends on"}, .rows = {}};
  std::vector<std::string> names;
  for (size_t i = 0; i < groups.size(); ++i) {
    table.head.push_back(protocol_letter(i));
    for (size_t j = 0; j < i; ++j)
      for (const auto* one : groups[i])
        for (const auto& name : protocol_differences(*groups[j].front(), *one))
          if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  for (const auto& name : names) {
    Cells row = {name};
    for (const auto& group : groups) row.push_back(protocol_text(*group.front(), name));
    table.rows.push_back(std::move(row));
  }
  return note(
             "Scores of different protocols do not compare: their difference says nothing about the models.") +
         details("Differences of the protocols", table_html(table));
}

}  // namespace

// A, B, ... Z, AA, AB ...
std::string protocol_letter(size_t group) {
  constexpr size_t kLetters = 26;
  std::string text(1, char('A' + group % kLetters));
  return group < kLetters ? text : protocol_letter(group / kLetters - 1) + text;
}

std::string cards_of(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  std::vector<const ScoreCard*> all;
  for (const auto& run : runs)
    for (const auto& card : run.record.cards) all.push_back(&card);
  if (all.empty()) return "";
  const CardGroups groups = by_protocol(all);
  std::map<const ScoreCard*, size_t> places;
  for (size_t i = 0; i < groups.size(); ++i)
    for (const auto* card : groups[i]) places[card] = i;
  std::vector<Shown> cards;
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& card : runs[i].record.cards) cards.push_back({&card, names[i], places.at(&card)});
  return cards_table(cards, runs.size() > 1) + (groups.size() > 1 ? differences_of(groups) : "");
}

}  // namespace pixart::report
