#include "judge_questions.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"

namespace pixart::caption {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kLongestText = 10'000;  // bytes of a question
constexpr int64_t kMostQuestions = 10'000'000;

// The text of a value that may be a text or a whole number; nothing for other values.
std::optional<std::string> field_text(const json& fields, const char* name) {
  const auto found = fields.find(name);
  if (found == fields.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return trimmed(found->get<std::string>());
  if (found->is_number_integer()) return found->dump();
  return std::nullopt;
}

std::vector<std::string> parts_of_list(const std::string& list) {
  std::vector<std::string> result;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');)
    if (std::string own = trimmed(part); !own.empty()) result.push_back(std::move(own));
  return result;
}

// Ids as a list, or as a text with commas, or one number.
std::vector<std::string> ids_of(const json& fields, const char* name) {
  const auto found = fields.find(name);
  if (found != fields.end() && found->is_array()) {
    std::vector<std::string> result;
    for (const auto& entry : *found) {
      if (entry.is_string()) result.push_back(trimmed(entry.get<std::string>()));
      if (entry.is_number_integer()) result.push_back(entry.dump());
    }
    return result;
  }
  return parts_of_list(field_text(fields, name).value_or(""));
}

std::string fault_of_text(const std::string& text) {
  if (text.empty()) return "has an empty question";
  if (!is_utf8(text)) return "has a question that is not UTF-8";
  if (text.find('\0') != std::string::npos) return "has a question with a NUL byte";
  if (text.size() > kLongestText)
    return fmt::format("has a question of {} bytes; at most {} are allowed", text.size(), kLongestText);
  return {};
}

std::string name_of_image(const std::string& key) { return fs::path(key).stem().string(); }

// Each question after its parents. Adds a problem if they go round in a circle.
std::vector<size_t> order_of(const std::vector<Question>& questions, Problems& problems) {
  std::vector<size_t> order, waiting(questions.size());
  std::vector<std::vector<size_t>> children(questions.size());
  for (size_t i = 0; i < questions.size(); ++i) {
    waiting[i] = questions[i].parents.size();
    for (const size_t parent : questions[i].parents) children[parent].push_back(i);
    if (waiting[i] == 0) order.push_back(i);
  }
  for (size_t next = 0; next < order.size(); ++next)
    for (const size_t child : children[order[next]])
      if (--waiting[child] == 0) order.push_back(child);
  if (order.size() < questions.size()) {
    const size_t first = size_t(std::find_if(waiting.begin(), waiting.end(), [](size_t n) { return n > 0; }) -
                                waiting.begin());
    problems.add(fmt::format("question {} depends on itself, perhaps by way of others", questions[first].id));
  }
  return order;
}

// Reads the rows of a file; a fault of a row is a problem.
void for_each_row(const fs::path& file, Problems& problems,
                  const std::function<void(const json& fields, const std::string& place)>& take) {
  int64_t count = 0;
  data::read_rows(file, [&](data::TableRow& row) {
    const std::string place = fmt::format("line {}", row.line);
    if (!row.fault.empty())
      problems.add(place + ": " + row.fault);
    else
      take(row.fields, place);
    return ++count < kMostQuestions;
  });
}

struct Ids {
  std::map<std::tuple<int64_t, int, std::string>, size_t> places = {};
  size_t* find(const Question& of, const std::string& id) {
    const auto found = places.find({of.row, of.part, id});
    return found == places.end() ? nullptr : &found->second;
  }
};

}  // namespace

std::string filled(const std::string& text, const std::map<std::string, std::string>& values) {
  std::string result;
  size_t begin = 0;
  for (size_t at; (at = text.find('{', begin)) != std::string::npos;) {
    const size_t end = text.find('}', at);
    const auto found =
        end == std::string::npos ? values.end() : values.find(text.substr(at + 1, end - at - 1));
    const size_t next = found == values.end() ? at + 1 : end + 1;
    result += text.substr(begin, at - begin) + (found == values.end() ? text.substr(at, 1) : found->second);
    begin = next;
  }
  return result + text.substr(begin);
}

QuestionSet linked(std::vector<ReadQuestion> read, int parts, Problems& problems) {
  QuestionSet set;
  Ids ids;
  std::vector<const ReadQuestion*> sources;
  for (const auto& own : read)
    for (int part = 0; part < parts; ++part) {
      Question question = own.question;
      question.part = part;
      if (!ids.places.emplace(std::tuple(question.row, part, question.id), set.questions.size()).second) {
        if (part == 0)
          problems.add(
              fmt::format("{} has the id {} of an earlier question about its image", own.place, question.id));
        continue;
      }
      set.questions.push_back(std::move(question));
      sources.push_back(&own);
    }
  for (size_t i = 0; i < set.questions.size(); ++i)
    for (const auto& id : sources[i]->depends) {
      if (const size_t* parent = ids.find(set.questions[i], id))
        set.questions[i].parents.push_back(*parent);
      else if (set.questions[i].part == 0)
        problems.add(fmt::format("{} depends on the question {}, which its image does not have",
                                 sources[i]->place, id));
    }
  set.order = order_of(set.questions, problems);
  return set;
}

QuestionSet prompt_questions(const JudgedImages& images,
                             const std::function<std::string(const JudgedImage&)>& prompt_of, int parts,
                             Problems& problems) {
  std::vector<ReadQuestion> read;
  for (const auto& image : images) {
    const std::string prompt = prompt_of(image);
    if (prompt.empty()) {
      problems.add(image.key +
                   " has no prompt: give it a .txt file of its name, or draw it with pixart sample");
      continue;
    }
    if (const auto fault = fault_of_text(prompt); !fault.empty()) {
      problems.add(image.key + " " + fault);
      continue;
    }
    read.push_back({.question = {.row = image.row,
                                 .id = "1",
                                 .text = fmt::format("Does this image show \"{}\"?", prompt),
                                 .group = prompt},
                    .place = image.key});
  }
  QuestionSet set = linked(std::move(read), parts, problems);
  set.wording = "pixart: whether the image shows its prompt";
  return set;
}

QuestionSet own_questions(const fs::path& file, const JudgedImages& images, int parts, Problems& problems) {
  std::unordered_map<std::string, int64_t> rows;
  for (const auto& image : images) rows.emplace(image.key, image.row);
  std::map<int64_t, int64_t> counts;
  std::set<std::string> missing;
  std::vector<ReadQuestion> read;
  for_each_row(file, problems, [&](const json& fields, const std::string& place) {
    const auto image = field_text(fields, "image"), question = field_text(fields, "question");
    if (!image || !question) return problems.add(place + " lacks the text image or question");
    if (const auto fault = fault_of_text(*question); !fault.empty()) return problems.add(place + " " + fault);
    const auto row = rows.find(*image);
    if (row == rows.end()) {
      missing.insert(*image);
      return;
    }
    const int64_t number = ++counts[row->second];
    read.push_back({.question = {.row = row->second,
                                 .id = field_text(fields, "id").value_or(std::to_string(number)),
                                 .text = *question,
                                 .category = field_text(fields, "category").value_or(""),
                                 .group = field_text(fields, "group").value_or(*image)},
                    .depends = ids_of(fields, "depends"),
                    .place = place});
  });
  QuestionSet set = linked(std::move(read), parts, problems);
  set.items_without_image = int64_t(missing.size());
  set.wording = "the user's";
  return set;
}

namespace {

// The broad category of a row: its column, or the start of the tuple "entity - whole (cube)".
std::string dpg_category(const json& fields) {
  if (const auto own = field_text(fields, "category_broad"); own && !own->empty()) return *own;
  const std::string tuple = field_text(fields, "tuple").value_or("");
  return trimmed(tuple.substr(0, tuple.find_first_of("-(")));
}

struct DpgRow {
  std::string item, id, text, category, place;
  std::vector<std::string> depends;
};

std::vector<DpgRow> dpg_rows(const fs::path& file, Problems& problems) {
  std::vector<DpgRow> rows;
  for_each_row(file, problems, [&](const json& fields, const std::string& place) {
    const auto item = field_text(fields, "item_id"), id = field_text(fields, "proposition_id"),
               text = field_text(fields, "question_natural_language");
    if (!item || !id || !text)
      return problems.add(place + " lacks item_id, proposition_id or question_natural_language");
    if (const auto fault = fault_of_text(*text); !fault.empty()) return problems.add(place + " " + fault);
    auto depends = ids_of(fields, "dependency");
    std::erase(depends, "0");  // of no question
    rows.push_back({*item, *id, *text, dpg_category(fields), place, std::move(depends)});
  });
  return rows;
}

}  // namespace

QuestionSet dpg_questions(const fs::path& file, const JudgedImages& images, int parts, Problems& problems) {
  std::unordered_map<std::string, std::vector<DpgRow>> items;
  for (auto& row : dpg_rows(file, problems)) items[row.item].push_back(std::move(row));
  std::vector<ReadQuestion> read;
  std::set<std::string> judged;
  for (const auto& image : images) {
    const std::string name = name_of_image(image.key);
    const auto found = items.find(name);
    if (found == items.end()) {
      problems.add(fmt::format("{}: {} has no item {}", image.key, file.string(), name));
      continue;
    }
    judged.insert(name);
    for (const auto& row : found->second)
      read.push_back({.question = {.row = image.row,
                                   .id = row.id,
                                   .text = row.text,
                                   .category = row.category,
                                   .group = row.item},
                      .depends = row.depends,
                      .place = row.place});
  }
  QuestionSet set = linked(std::move(read), parts, problems);
  set.items_without_image = int64_t(items.size() - judged.size());
  set.wording = "DPG-Bench's questions, each answered without the others";
  return set;
}

}  // namespace pixart::caption
