#include "splits.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMostParts = 1'000'000;

// A split and the path that names only its files.
struct Split {
  std::string name, path;
};

// By the first folder below `folder` that names a split (train/0.parquet), or else by the beginning of the file's name
// (train-00000-of-00002.parquet, test.parquet).
std::optional<Split> split_of(const fs::path& folder, const fs::path& file) {
  const fs::path below = file.lexically_relative(folder);
  fs::path inner = folder;
  for (const auto& part : below.parent_path())
    if (inner /= part; is_split_name(part.string())) return Split{ascii_lower(part.string()), inner.string()};
  const std::string name = file.filename().string();
  const std::string word = name.substr(0, name.find_first_of("-_."));
  if (!is_split_name(word)) return std::nullopt;
  return Split{ascii_lower(word), (file.parent_path() / (word + "*" + file.extension().string())).string()};
}

// NAME-00000-of-00002.ENDING
struct SplitPart {
  std::string set;  // the path with another text in place of the number
  uint64_t number = 0, count = 0;
};

std::optional<uint64_t> part_number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<SplitPart> part_of(const fs::path& file) {
  const std::string stem = file.stem().string();
  const size_t of = stem.rfind("-of-"),
               dash = of == std::string::npos || of == 0 ? of : stem.rfind('-', of - 1);
  if (of == std::string::npos || dash == std::string::npos || dash == of) return std::nullopt;
  const auto number = part_number(stem.substr(dash + 1, of - dash - 1)),
             count = part_number(stem.substr(of + 4));
  if (!number || !count || *number >= *count || *count > kMostParts) return std::nullopt;
  const std::string name = stem.substr(0, dash + 1) + "*" + stem.substr(of) + file.extension().string();
  return SplitPart{(file.parent_path() / name).string(), *number, *count};
}

void add_missing_parts(const std::vector<fs::path>& files, Problems& problems) {
  std::map<std::string, std::pair<uint64_t, std::set<uint64_t>>> sets;
  for (const auto& file : files)
    if (const auto part = part_of(file)) {
      auto& [count, numbers] = sets[part->set];
      count = part->count;
      numbers.insert(part->number);
    }
  for (const auto& [name, set] : sets) {
    std::vector<std::string> missing;
    for (uint64_t i = 0; i < set.first; ++i)
      if (set.second.count(i) == 0) missing.push_back(std::to_string(i));
    if (!missing.empty())
      problems.add(
          fmt::format("{}: {} of {} parts are missing: {}. Fetch them, or set path to this glob to use the "
                      "others alone",
                      name, missing.size(), set.first, name_some(missing)));
  }
}

}  // namespace

bool is_split_name(const std::string& name) {
  static const std::set<std::string> kSplits = {"train", "training",   "test", "testing", "val",
                                                "valid", "validation", "dev",  "eval"};
  return kSplits.count(ascii_lower(name)) > 0;
}

void require_one_whole_split(const std::string& subject, const fs::path& folder,
                             const std::vector<fs::path>& files) {
  std::map<std::string, std::string> splits;  // and the path of each
  for (const auto& file : files)
    if (const auto split = split_of(folder, file)) splits.emplace(split->name, split->path);
  Problems problems;
  if (splits.size() > 1) {
    std::vector<std::string> names, paths;
    for (const auto& [name, path] : splits) names.push_back(name), paths.push_back(path);
    problems.add(fmt::format("the folder holds several splits ({}). Set path to one of them: {}",
                             join(names, ", "), name_some(paths)));
  }
  add_missing_parts(files, problems);
  problems.throw_if_any(subject);
}

}  // namespace pixart::data
