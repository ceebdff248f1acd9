// What commands write for people. Texts of files (names, captions, metadata) may hold escape sequences, which
// would control the reader's terminal, and line breaks, which would look like lines of the program. No other
// file writes to standard output; log.h and progress.h do the same for stderr.
#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace pixart {

enum class LineBreaks { kKept, kEscaped };

// Makes visible what a terminal would obey: control characters other than tab, bytes that are not UTF-8, and
// the characters that break lines or turn the direction of writing (U+2028, U+202E, ...): \n, \x1b, \u202e.
std::string printable(std::string_view text, LineBreaks breaks = LineBreaks::kEscaped);

// These write to standard output.
void print_text(std::string_view text);  // whole lines, whose line breaks are the program's own
void print_json(std::string_view json);  // and a line break; the same characters become JSON's \u009b
void flush_printed();  // for commands that go on: who reads from a pipe sees what was written so far
template <class... Args>
void print_line(fmt::format_string<Args...> text, Args&&... args) {  // line breaks in it are escaped
  print_text(printable(fmt::format(text, std::forward<Args>(args)...)) + "\n");
}

}  // namespace pixart
