#include "shard_paths.h"

#include <glob.h>

#include <algorithm>
#include <charconv>

#include "file_ending.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "remote_shards.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostShards = 1'000'000;

struct Range {
  size_t begin = std::string::npos, end = 0;  // range in the text, with braces
  uint64_t first = 0, last = 0;
  size_t digits = 0;  // 0: numbers without leading zeros
};

bool number(std::string_view text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// The first {NUMBER..NUMBER}; other braces are part of the glob.
Range find_range(std::string_view text) {
  for (size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{', open + 1)) {
    const size_t close = text.find('}', open), dots = text.find("..", open);
    if (close == std::string_view::npos || dots > close) continue;
    const auto first = text.substr(open + 1, dots - open - 1), last = text.substr(dots + 2, close - dots - 2);
    Range range{.begin = open, .end = close + 1};
    if (!number(first, range.first) || !number(last, range.last)) continue;
    if (first.size() > 1 && first.starts_with('0')) range.digits = first.size();
    return range;
  }
  return {};
}

// The paths that a glob matches, sorted.
std::vector<fs::path> matches(const std::string& pattern) {
  glob_t found{};
  const int code = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found);
  std::vector<fs::path> paths;
  for (size_t i = 0; code == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (code != 0 && code != GLOB_NOMATCH)
    throw UserError(fmt::format("cannot list {}: is a folder in it without read permission?", pattern));
  return paths;
}

std::vector<fs::path> tars_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const auto& path = at->path();
    std::error_code no_status;
    if (file_ending(path) == ".tar" && !path.filename().string().starts_with('.') &&
        !at->is_directory(no_status))
      paths.push_back(path);
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  return paths;
}

}  // namespace

std::vector<std::string> expand_ranges(const std::string& text) {
  const Range range = find_range(text);
  if (range.begin == std::string::npos) return {text};
  if (range.last < range.first || range.last - range.first >= kMostShards)
    throw UserError(fmt::format("{}: {} goes down or names more than {} shards.", text,
                                text.substr(range.begin, range.end - range.begin), kMostShards));
  const auto rests = expand_ranges(text.substr(range.end));
  if ((range.last - range.first + 1) * rests.size() > kMostShards)
    throw UserError(fmt::format("{} names more than {} shards.", text, kMostShards));
  std::vector<std::string> all;
  for (uint64_t i = range.first; i <= range.last; ++i)
    for (const auto& rest : rests)
      all.push_back(text.substr(0, range.begin) + fmt::format("{:0{}}", i, range.digits) + rest);
  return all;
}

std::vector<fs::path> find_shards(const SourceConfig& config) {
  if (names_addresses(config.path)) return find_remote_shards(config);
  std::error_code error;
  const std::string what = subject_of(config);
  if (fs::is_directory(config.path, error)) {
    auto shards = tars_in(config.path);
    if (shards.empty())
      throw UserError(what +
                      ": this folder has no .tar file. Set path to the folder of the shards, or to a "
                      "pattern: FOLDER/*/*.tar, FOLDER/sam-{000000..000127}.tar.");
    std::sort(shards.begin(), shards.end());
    return shards;
  }
  if (fs::exists(config.path, error)) return {config.path};  // even if its name looks like a pattern
  std::vector<fs::path> shards;
  std::vector<std::string> missing;
  for (const auto& pattern : expand_ranges(config.path.string())) {
    const auto found = matches(pattern);
    if (found.empty()) missing.push_back(pattern);
    shards.insert(shards.end(), found.begin(), found.end());
  }
  if (!missing.empty()) throw UserError(fmt::format("{}: there is no {}.", what, name_some(missing)));
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

}  // namespace pixart::data
