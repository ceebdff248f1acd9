// The prompts of a file for `pixart sample --prompts`.
#pragma once
#include <string>
#include <vector>

namespace pixart::tools {

// One prompt per line; empty lines and a byte-order mark are passed over. A file with the ending .jsonl or
// .ndjson, or whose first line is a JSON object, has one object per line: its "prompt", "caption" or "text"
// is a text, or a list of texts. "-" reads standard input. Throws UserError that names every line that cannot
// be used.
std::vector<std::string> read_prompts(const std::string& path);

}  // namespace pixart::tools
