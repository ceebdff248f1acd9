#include "scalar.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "pixart/base/error.h"
#include "pixart/base/home.h"
#include "pixart/base/names.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The parts of a decimal number: -12.5e-3. YAML's other forms (0x1F, 0o17, 1_000, 190:20:30, .inf) fail.
struct Decimal {
  bool is_valid = false, is_whole = false, has_leading_zero = false;
};

Decimal parse_decimal(const std::string& text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t from = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - from;
  };
  if (at < text.size() && text[at] == '-') ++at;
  const size_t first = at, whole = digits();
  Decimal result;
  result.has_leading_zero = whole > 1 && text[first] == '0';
  result.is_whole = whole > 0 && at == text.size();
  size_t fraction = 0;
  if (at < text.size() && text[at] == '.') {
    ++at;
    fraction = digits();
  }
  if (whole + fraction == 0) return result;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return result;
  }
  result.is_valid = at == text.size();
  return result;
}

std::optional<double> to_double(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_good = error == std::errc() && end == text.data() + text.size() && std::isfinite(number);
  return is_good ? std::optional(number) : std::nullopt;
}

std::string without_leading_zeros(const std::string& text) {
  const bool is_negative = text.starts_with('-');
  std::string rest = text.substr(is_negative ? 1 : 0);
  while (rest.size() > 1 && rest[0] == '0' && is_digit(rest[1])) rest.erase(0, 1);
  return (is_negative ? "-" : "") + rest;
}

std::string wrong(const Node& node, const std::string& needed, const std::string& remedy) {
  return fmt::format("'{}' is {} ({})", shortened(node.text), needed, remedy);
}

std::string read_bool(const Node& node, Value& value) {
  const bool is_true = node.text == "true";
  if (node.is_quoted || (!is_true && node.text != "false")) {
    return wrong(node, "not true or false",
                 node.is_quoted ? "write true or false, without quotes" : "write true or false");
  }
  value.data = is_true;
  return {};
}

// Checks that integers and other numbers share.
std::string check_decimal(const Node& node, const Decimal& decimal, const std::string& needed) {
  if (node.is_quoted) return wrong(node, "text, expected " + needed, "remove the quotes");
  if (!decimal.is_valid) return wrong(node, "not " + needed, "write a decimal number, such as 10");
  if (decimal.has_leading_zero) {
    return wrong(node, "ambiguous: some YAML readers read it as octal",
                 "write " + without_leading_zeros(node.text));
  }
  return {};
}

std::string read_integer(const Node& node, Value& value) {
  const Decimal decimal = parse_decimal(node.text);
  if (auto problem = check_decimal(node, decimal, "an integer"); !problem.empty()) return problem;
  const char* end = node.text.data() + node.text.size();
  if (!decimal.is_whole) {
    const auto number = to_double(node.text);
    const bool is_integer = number && std::abs(*number) < 9e15 && *number == std::round(*number);
    return wrong(node, "not an integer",
                 is_integer ? fmt::format("write {}", int64_t(*number)) : "write a whole number");
  }
  int64_t integer = 0;
  if (std::from_chars(node.text.data(), end, integer).ec != std::errc()) {
    return wrong(node, "too large for an integer", "64 bits are the limit");
  }
  value.data = integer;
  return {};
}

std::string read_number(const Node& node, Value& value) {
  if (auto problem = check_decimal(node, parse_decimal(node.text), "a number"); !problem.empty())
    return problem;
  const auto number = to_double(node.text);
  if (!number) return wrong(node, "too large or too small for a number", "a double is the limit");
  value.data = *number;
  return {};
}

std::string read_text(const Node& node, Value& value) {
  if (node.text.find('\0') != std::string::npos) return "text with a NUL character (remove the \\0)";
  value.data = node.text;
  return {};
}

std::string read_path(const Node& node, Value& value) {
  auto problem = read_text(node, value);
  if (problem.empty()) value.data = with_home(node.text);
  return problem;
}

}  // namespace

std::string read_scalar(const Node& node, Kind kind, Value& value) {
  switch (kind) {
    case Kind::kBool:
      return read_bool(node, value);
    case Kind::kInteger:
      return read_integer(node, value);
    case Kind::kNumber:
      return read_number(node, value);
    case Kind::kText:
      return read_text(node, value);
    case Kind::kPath:
      return read_path(node, value);
    case Kind::kList:
    case Kind::kStruct:
      break;
  }
  PIXART_CHECK(false, "not a scalar kind");
  return {};
}

std::string check_rule(const Rule& rule, const Value& value) {
  std::optional<double> number;
  std::string shown;
  if (const auto* integer = std::get_if<int64_t>(&value.data))
    number = double(*integer), shown = fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&value.data)) number = *real, shown = fmt::format("{}", *real);
  if (number) {
    const bool is_good =
        !(rule.at_least && *number < *rule.at_least) && !(rule.at_most && *number > *rule.at_most) &&
        !(rule.more_than && *number <= *rule.more_than) && !(rule.less_than && *number >= *rule.less_than);
    if (is_good) return {};
    Rule range = rule;
    range.length.reset();
    return fmt::format("{} is out of range (must be {})", shown, rule_text(range));
  }
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr || rule.words.empty()) return {};
  if (contains(rule.words, *text)) return {};
  return fmt::format("'{}' is unknown (write one of {}).{}", shortened(*text), join(rule.words, ", "),
                     did_you_mean(*text, rule.words));
}

}  // namespace pixart::config::internal
