// Regular expressions on UTF-8 with the meaning of Python's `re`; implemented with PCRE2 and its JIT.
//
// Patterns are written as in Python: \s, \w, \d, \b and their opposites are Python's (Unicode) classes, which
// differ between PCRE2 versions. A pattern for re.match begins with \G. Compile a pattern once (a static);
// several threads may use it.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pixart::text {

class Regex {
 public:
  enum class Subject { kUtf8, kBytes };
  // White space in the pattern counts, unless `verbose`.
  explicit Regex(std::string_view pattern, Subject subject = Subject::kUtf8, bool verbose = false);
  // A pattern of a user, for bytes. nullopt if it is wrong: `problem` then says why and where.
  static std::optional<Regex> from_user(std::string_view pattern, std::string& problem);
  // A pattern of Python's `re` that a file holds, for UTF-8; it may have \u0041, \U00000041 and, at its beginning, (?u).
  static std::optional<Regex> from_python(std::string_view pattern, std::string& problem);

  static constexpr size_t kGroups = 4;
  struct Match {
    struct Span {
      size_t begin = 0, end = 0;
    };
    std::array<Span, kGroups> groups;  // [0] is the whole match
    size_t begin() const { return groups[0].begin; }
    size_t end() const { return groups[0].end; }
    std::string_view of(std::string_view subject, size_t group = 0) const {
      return subject.substr(groups[group].begin, groups[group].end - groups[group].begin);
    }
  };

  // A search that exceeds PCRE2's limits (hostile input) finds nothing.
  std::optional<Match> search(std::string_view subject, size_t from = 0) const;

  // re.sub, in place; `\1` means group 1.
  void replace(std::string& text, std::string_view replacement) const;

  // re.sub with a function that gets the Match and returns the text.
  template <class Replace>
  std::string replace_each(std::string_view subject, Replace&& replace) const {
    std::string result;
    size_t done = 0;
    for (auto found = search(subject); found; found = search(subject, done)) {
      result += subject.substr(done, found->begin() - done);
      result += replace(*found);
      done = found->end();
      if (found->begin() == found->end()) break;  // none of our patterns matches an empty text
    }
    return result += subject.substr(done);
  }

 private:
  explicit Regex(std::shared_ptr<void> code) : code_(std::move(code)) {}
  std::shared_ptr<void> code_;
};

}  // namespace pixart::text
