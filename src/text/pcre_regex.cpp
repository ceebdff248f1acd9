#include "pcre_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pixart/base/error.h"

namespace pixart::text {
namespace {

// Python's classes, as members of a bracket expression.
constexpr std::string_view kSpace =
    "\\x09-\\x0d\\x1c-\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{"
    "3000}";
constexpr std::string_view kDigit = "\\p{Nd}";
constexpr std::string_view kWord = "\\p{L}\\p{N}_";
constexpr std::string_view kBoundary =
    "(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))";

// Limits of one search. A loop over groups on a long caption needs the JIT stack.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr size_t kJitStackBytes = size_t{8} << 20;

std::string_view class_members(char letter) {
  switch (letter) {
    case 's':
    case 'S':
      return kSpace;
    case 'd':
    case 'D':
      return kDigit;
    case 'w':
    case 'W':
      return kWord;
    default:
      return {};
  }
}

// `problem` says what PCRE2 cannot express.
std::string translated(std::string_view pattern, std::string& problem) {
  std::string result;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    // A [ in a class is a character for Python.
    if (c == '[' && in_class) result += '\\';
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    if (c != '\\' || i + 1 == pattern.size()) {
      result += c;
      continue;
    }
    const char letter = pattern[++i];
    const std::string_view members = class_members(letter);
    if (const size_t digits = letter == 'u' ? 4 : letter == 'U' ? 8 : 0; digits > 0) {
      if (pattern.size() - i - 1 < digits) problem = fmt::format("\\{} without {} digits", letter, digits);
      result += fmt::format("\\x{{{}}}", pattern.substr(i + 1, digits));
      i += digits;
    } else if (!members.empty()) {
      const bool negated = letter < 'a';
      if (negated && in_class) problem = fmt::format("\\{} inside []", letter);
      result += in_class ? std::string(members) : fmt::format("[{}{}]", negated ? "^" : "", members);
    } else if (letter == 'b' && !in_class) {
      result += kBoundary;
    } else {
      result += {c, letter};
    }
  }
  return result;
}

// The memory to which matching writes, one per thread.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(Regex::kGroups, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(size_t{32} << 10, kJitStackBytes, nullptr);
  Scratch() {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

}  // namespace

namespace {

// Null if PCRE2 refuses the pattern: `problem` then says why and where.
std::shared_ptr<void> compile(std::string_view source, uint32_t options, std::string& problem) {
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), options,
                                   &error, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    problem = fmt::format("{} at {}", reinterpret_cast<const char*>(text), offset);
    return nullptr;
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without a JIT, matching is interpreted
  return {code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); }};
}

}  // namespace

Regex::Regex(std::string_view pattern, Subject subject, bool verbose) {
  const bool utf8 = subject == Subject::kUtf8;
  std::string problem;
  const std::string source = utf8 ? translated(pattern, problem) : std::string(pattern);
  PIXART_CHECK(problem.empty(), "{} in {}", problem, pattern);
  const uint32_t options = (utf8 ? PCRE2_UTF | PCRE2_UCP : 0) | (verbose ? PCRE2_EXTENDED : 0);
  code_ = compile(source, options, problem);
  PIXART_CHECK(code_ != nullptr, "PCRE2: {} of {}", problem, source);
}

std::optional<Regex> Regex::from_user(std::string_view pattern, std::string& problem) {
  auto code = compile(pattern, PCRE2_NEVER_BACKSLASH_C, problem);
  return code == nullptr ? std::nullopt : std::optional(Regex(std::move(code)));
}

std::optional<Regex> Regex::from_python(std::string_view pattern, std::string& problem) {
  constexpr std::string_view kUnicode = "(?u)";
  if (pattern.starts_with(kUnicode)) pattern.remove_prefix(kUnicode.size());
  const std::string source = translated(pattern, problem);
  if (!problem.empty()) return std::nullopt;
  auto code = compile(source, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, problem);
  return code == nullptr ? std::nullopt : std::optional(Regex(std::move(code)));
}

std::optional<Regex::Match> Regex::search(std::string_view subject, size_t from) const {
  thread_local Scratch scratch;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const auto* bytes = reinterpret_cast<PCRE2_SPTR>(subject.data() != nullptr ? subject.data() : "");
  const auto run = [&](uint32_t options) {
    return pcre2_match(code, bytes, subject.size(), from, options, scratch.data, scratch.context);
  };
  int count = run(PCRE2_NO_UTF_CHECK);  // every caller passes valid UTF-8
  if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
  if (count < 0) return std::nullopt;
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data);
  const size_t groups = count == 0 ? kGroups : size_t(count);
  Match found;
  for (size_t group = 0; group < groups; ++group)
    if (offsets[2 * group] != PCRE2_UNSET) found.groups[group] = {offsets[2 * group], offsets[2 * group + 1]};
  return found;
}

void Regex::replace(std::string& text, std::string_view replacement) const {
  if (!search(text)) return;
  const size_t group = replacement.find("\\1");
  text = replace_each(text, [&](const Match& found) {
    std::string result(replacement);
    if (group != std::string_view::npos) result.replace(group, 2, found.of(text, 1));
    return result;
  });
}

}  // namespace pixart::text
