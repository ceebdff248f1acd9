#include "answers.h"

#include <algorithm>

#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"

namespace pixart::study {
using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kLargestNumber = int64_t{1} << 40;  // milliseconds and seq
constexpr uint64_t kLargestFile = uint64_t{64} << 20;

std::optional<int64_t> integer(const json& fields, const char* name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::nullopt : whole_number(*found, 0, kLargestNumber);
}

std::string text(const json& fields, const char* name) {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// A list of lists of numbers below `count`, each once; "" or what is wrong.
std::string read_order(const json& value, int count, std::vector<std::vector<int>>& order) {
  const std::string fault = fmt::format("its order has not each of the positions 0 to {} once", count - 1);
  std::vector<bool> taken(static_cast<size_t>(count));
  if (!value.is_array()) return fault;
  int num_taken = 0;
  for (const auto& group : value) {
    if (!group.is_array() || group.empty()) return fault;
    order.emplace_back();
    for (const auto& one : group) {
      if (!one.is_number_unsigned()) return fault;
      const auto position = one.get<uint64_t>();
      if (position >= uint64_t(count) || taken[position]) return fault;
      taken[position] = true, ++num_taken;
      order.back().push_back(int(position));
    }
    std::ranges::sort(order.back());
  }
  return num_taken == count ? "" : fault;
}

// Discarded if it is not JSON, or deeper than an answer: the library goes down by recursion.
json parsed(const std::string& line) {
  constexpr int kDeepest = 4;
  bool is_deep = false;
  auto content = json::parse(
      line,
      [&](int depth, json::parse_event_t, json&) {
        is_deep = is_deep || depth > kDeepest;
        return !is_deep;
      },
      /*allow_exceptions=*/false);
  return is_deep ? json() : content;
}

std::string read_fields(const json& fields, const Shape& shape, Answer& answer) {
  if (text(fields, "study") != shape.id) return "it is of another study";
  answer.person = text(fields, "person");
  const auto person = shape.people.find(answer.person);
  if (person == shape.people.end()) return "the study has no such person";
  const auto trial = integer(fields, "trial"), milliseconds = integer(fields, "ms"),
             seq = integer(fields, "seq");
  if (!trial || *trial >= int64_t(person->second.size())) return "the person has no such screen";
  if (!milliseconds || !seq) return "ms or seq is not a whole number";
  answer.trial = *trial, answer.milliseconds = *milliseconds, answer.seq = *seq;
  const auto order = fields.find("order");
  if (order != fields.end()) return read_order(*order, person->second[size_t(*trial)], answer.order);
  return fields.value("cannot_tell", json()) == true ? "" : "it has no order";
}

}  // namespace

ReadAnswer read_answer(const std::string& line, const Shape& shape) {
  ReadAnswer read;
  if (line.size() > kLongestLine) {
    read.fault = fmt::format("it has {} bytes; an answer has at most {}", line.size(), kLongestLine);
    return read;
  }
  const json fields = parsed(line);
  read.fault = fields.is_object() ? read_fields(fields, shape, read.answer) : "it is not a JSON object";
  return read;
}

ordered_json answer_json(const Answer& answer) {
  ordered_json fields;
  if (answer.order.empty())
    fields["cannot_tell"] = true;
  else
    fields["order"] = answer.order;
  fields["ms"] = answer.milliseconds;
  fields["seq"] = answer.seq;
  return fields;
}

Collected read_answers(const std::vector<fs::path>& files, const Shape& shape) {
  constexpr size_t kNamed = 20;
  Collected collected;
  int64_t faults = 0;
  for (const auto& file : files) {
    const auto lines = lines_of(read_file(file, kLargestFile));
    for (size_t i = 0; i < lines.size(); ++i) {
      if (trimmed(lines[i]).empty()) continue;
      const auto [answer, fault] = read_answer(lines[i], shape);
      if (!fault.empty()) {
        if (collected.remarks.size() < kNamed)
          collected.remarks.push_back(printable(fmt::format("{}, line {}: {}", file.string(), i + 1, fault)));
        ++faults;
        continue;
      }
      const auto [at, is_new] = collected.answers[answer.person].try_emplace(answer.trial, answer);
      if (!is_new && at->second.seq == answer.seq && at->second != answer)
        ++collected.contradicted[answer.person];
      if (answer.seq > at->second.seq) at->second = answer;
    }
  }
  if (faults > int64_t(kNamed))
    collected.remarks.push_back(fmt::format("and {} more lines", with_thousands(faults - int64_t(kNamed))));
  return collected;
}

}  // namespace pixart::study
