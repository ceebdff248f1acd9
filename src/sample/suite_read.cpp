// Reads the files of suites. Every line that cannot be used is named before anything is drawn.
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <unordered_set>

#include "pixart/base/file.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/data/table_rows.h"
#include "pixart/sample/suite.h"

namespace pixart::sample {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kMostImages = 10'000'000;
constexpr int kLeastSide = 8, kMostSide = 16384;
constexpr uint64_t kLargestText = uint64_t{64} << 20;
constexpr uint64_t kCompBenchSeed = 42;      // of the first image of each prompt, in the published protocol
constexpr const char* kValidation = "_val";  // T2I-CompBench's test prompts: color_val.txt

// What the readers of one suite share.
struct Reading {
  Suite suite = {};
  Problems problems = {};
  std::unordered_set<std::string> ids = {};

  void fault(const std::string& place, const std::string& reason) { problems.add(place + " " + reason); }
};

// A path of files below the folder: no part leads out of it, and every system can hold it.
std::string stem_fault(const std::string& name) {
  constexpr size_t kLongestName = 200;  // bytes; file systems have 255, and numbers and endings are added
  if (name.empty()) return "has an empty id";
  if (name.front() == '.') return "has an id that begins with a dot, which names hidden files";
  const bool has_control = std::ranges::any_of(name, [](char c) { return uint8_t(c) < 0x20; });
  if (name.find('/') != std::string::npos || has_control)
    return "has a slash or a control character where a file name is made of it";
  if (name.size() > kLongestName)
    return fmt::format("makes a file name of {} bytes; at most {} are allowed", name.size(), kLongestName);
  return {};
}

// Takes an item if it is good; otherwise its fault is noted. `name`: what the file says of the stem, which is
// numbered otherwise.
void take(Reading& reading, SuiteItem item, const std::optional<std::string>& name = {}) {
  std::string fault = item.prompt.empty() ? "has an empty prompt" : prompt_fault(item.prompt);
  if (fault.empty() && name) fault = stem_fault(*name);
  if (fault.empty() && !is_utf8(item.id)) fault = "makes an id that is not UTF-8: rename the file";
  if (!fault.empty()) return reading.fault(item.place, fault);
  if (!reading.ids.insert(item.id).second)
    return reading.fault(
        item.place,
        item.stem.empty()
            ? fmt::format("has no id, but an earlier one has the id '{}'; give all an id, or none", item.id)
            : fmt::format("has the id '{}' of an earlier one", item.id));
  reading.suite.items.push_back(std::move(item));
}

// The text of a value that may be a text or a whole number; nothing for other values.
std::optional<std::string> text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  return std::nullopt;
}

template <size_t count>
const json* find_first(const json& fields, const std::array<const char*, count>& names) {
  for (const char* name : names)
    if (const auto found = fields.find(name); found != fields.end()) return &*found;
  return nullptr;
}

std::string read_text(const fs::path& path) {
  std::string text = read_file(path, kLargestText);
  refuse_utf16(text, path.string());
  return text;
}

// The prompt of a row; notes a fault if it has none.
std::optional<std::string> prompt_of(Reading& reading, const json& fields, const std::string& place) {
  const json* found = find_first(fields, kPromptKeys);
  if (found != nullptr && found->is_string()) return trimmed(found->get<std::string>());
  std::vector<std::string> keys;
  for (const auto& [key, value] : fields.items()) keys.push_back(key);
  reading.fault(place, found != nullptr ? "has a prompt that is not a text" : lacks_prompt(keys));
  return std::nullopt;
}

bool is_side(const json& value) {
  if (!value.is_number_integer()) return false;
  const auto side = value.get<int64_t>();
  return side >= kLeastSide && side <= kMostSide;
}

// "size": 512 or [height, width]; or "height" and "width". Returns a fault, or "".
std::string read_size(const json& fields, SuiteItem& item) {
  const auto fault = fmt::format("has a size that is not one: give 512, or [height, width], each {} to {}",
                                 kLeastSide, kMostSide);
  if (const auto size = fields.find("size"); size != fields.end()) {
    const json sides = size->is_array() ? *size : json(std::vector<json>(2, *size));
    if (sides.size() != 2 || !is_side(sides[0]) || !is_side(sides[1])) return fault;
    item.height = sides[0].get<int>(), item.width = sides[1].get<int>();
    return {};
  }
  const auto height = fields.find("height"), width = fields.find("width");
  if (height == fields.end() && width == fields.end()) return {};
  if (height == fields.end() || width == fields.end()) return "has only one of the keys height and width";
  if (!is_side(*height) || !is_side(*width)) return fault;
  item.height = height->get<int>(), item.width = width->get<int>();
  return {};
}

std::string read_seed(const json& fields, SuiteItem& item) {
  const auto seed = fields.find("seed");
  if (seed == fields.end() || seed->is_null()) return {};
  if (!seed->is_number_unsigned()) return "has a seed that is not a whole number from 0 on";
  item.seed = seed->get<uint64_t>();
  return {};
}

std::string place_of(int64_t line) { return fmt::format("line {}", line); }

// Names of files by number, as long as those of all rows. The stem is empty until all rows are counted.
void number_stems(Suite& suite) {
  constexpr size_t kLeastDigits = 4;
  const size_t digits = std::max(kLeastDigits, std::to_string(suite.items.size()).size());
  int64_t number = 0;
  for (auto& item : suite.items) {
    if (item.stem.empty()) item.stem = fmt::format("{:0{}}", number, digits);
    ++number;
  }
}

void take_jsonl_row(Reading& reading, const data::TableRow& row) {
  SuiteItem item{.place = place_of(row.line)};
  if (!row.fault.empty()) return reading.fault(item.place + ":", row.fault);
  const auto prompt = prompt_of(reading, row.fields, item.place);
  if (!prompt) return;
  item.prompt = *prompt;
  for (const auto& fault : {read_size(row.fields, item), read_seed(row.fields, item)})
    if (!fault.empty()) return reading.fault(item.place, fault);
  const auto id = row.fields.find("id");
  if (id != row.fields.end()) {
    const auto text = text_of(*id);
    if (!text) return reading.fault(item.place, "has an id that is neither a text nor a whole number");
    item.id = item.stem = *text;
    return take(reading, std::move(item), text);
  }
  item.id = std::to_string(reading.suite.items.size());
  take(reading, std::move(item));
}

// Some rows with ids and others without would be named in two ways.
void require_ids_of_all(Reading& reading) {
  const auto has_id = [](const SuiteItem& item) { return !item.stem.empty(); };
  const auto& items = reading.suite.items;
  const auto with = std::ranges::find_if(items, has_id), without = std::ranges::find_if_not(items, has_id);
  if (with != items.end() && without != items.end())
    reading.fault(without->place,
                  fmt::format("has no id, but {} has one; give all an id, or none", with->place));
}

void read_jsonl(Reading& reading, const fs::path& path) {
  data::read_rows(path, [&](data::TableRow& row) {
    take_jsonl_row(reading, row);
    return true;
  });
  require_ids_of_all(reading);
  number_stems(reading.suite);
}

void read_geneval(Reading& reading, const fs::path& path) {
  data::read_rows(path, [&](data::TableRow& row) {
    SuiteItem item{.place = place_of(row.line)};
    if (!row.fault.empty()) {
      reading.fault(item.place + ":", row.fault);
      return true;
    }
    for (const char* key : {"tag", "include"})
      if (!row.fields.contains(key)) reading.fault(item.place, fmt::format("has no key {}", key));
    if (const auto prompt = prompt_of(reading, row.fields, item.place)) {
      item.prompt = *prompt;
      item.metadata = row.fields.dump() + "\n";
      item.id = std::to_string(reading.suite.items.size());
      item.stem = fmt::format("{:05}", reading.suite.items.size());
      take(reading, std::move(item));
    }
    return true;
  });
}

constexpr std::array<const char*, 2> kCocoIds = {"image_id", "id"};

void take_annotation(Reading& reading, const json& fields, const std::string& place) {
  const auto prompt = prompt_of(reading, fields, place);
  if (!prompt) return;
  SuiteItem item{.prompt = *prompt, .place = place};
  if (const json* found = find_first(fields, kCocoIds)) {
    const auto id = text_of(*found);
    if (!id) return reading.fault(place, "has an image_id that is neither a text nor a whole number");
    item.id = item.stem = *id;
    return take(reading, std::move(item), id);
  }
  item.id = std::to_string(reading.suite.items.size());
  take(reading, std::move(item));
}

// COCO's captions_val2014.json has about five captions of each image; an image is drawn for the first one.
void read_annotations(Reading& reading, const fs::path& path) {
  require_no_pipe(path);
  std::ifstream file(path);
  std::string begin(2, '\0');
  file.read(begin.data(), std::streamsize(begin.size()));
  refuse_utf16(begin, path.string());
  file.clear();
  file.seekg(0);
  int64_t number = 0, left_out = 0;
  bool is_found = false;
  const auto filter = [&](int depth, json::parse_event_t event, json& value) {
    if (depth == 1 && event == json::parse_event_t::key) is_found = value == "annotations";
    if (depth != 2 || event != json::parse_event_t::object_end || !is_found) return depth < 2 || is_found;
    ++number;
    const json* id = find_first(value, kCocoIds);
    const auto text = id == nullptr ? std::nullopt : text_of(*id);
    if (text && reading.ids.contains(*text))
      ++left_out;
    else
      take_annotation(reading, value, fmt::format("annotation {}", number));
    return false;  // it need not be kept
  };
  const json rest = json::parse(file, filter, /*allow_exceptions=*/false);
  if (rest.is_discarded()) return reading.fault(path.string(), "is not JSON");
  if (number == 0) return reading.fault(path.string(), "has no list \"annotations\" of captions");
  if (left_out > 0)
    log::info("{}: {} captions are left out, because the first one of each image is drawn", path.string(),
              left_out);
}

void read_caption_lines(Reading& reading, const fs::path& path) {
  const auto lines = lines_of(read_text(path));
  for (size_t i = 0; i < lines.size(); ++i) {
    SuiteItem item{.prompt = trimmed(lines[i]), .place = place_of(int64_t(i) + 1)};
    if (item.prompt.empty()) continue;
    item.id = std::to_string(reading.suite.items.size());
    take(reading, std::move(item));
  }
}

void read_coco(Reading& reading, const fs::path& path) {
  const std::string ending = ascii_lower(path.extension());
  const auto take_row = [&](data::TableRow& row) {
    const std::string place = place_of(row.line);
    if (row.fault.empty())
      take_annotation(reading, row.fields, place);
    else
      reading.fault(place + ":", row.fault);
    return true;
  };
  if (ending == ".json")
    read_annotations(reading, path);
  else if (contains(std::vector<std::string>{".csv", ".tsv", ".jsonl", ".ndjson"}, ending))
    data::read_rows(path, take_row);
  else
    read_caption_lines(reading, path);
  require_ids_of_all(reading);
  number_stems(reading.suite);
}

// The files of a folder whose names end so, sorted.
std::vector<fs::path> files_with(const fs::path& folder, const std::string& ending) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string().ends_with(ending)) files.push_back(at->path());
  if (error)
    throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()), ExitCode::kStorage);
  std::ranges::sort(files);
  return files;
}

void read_dpg(Reading& reading, const fs::path& folder) {
  for (const auto& file : files_with(folder, ".txt")) {
    const std::string name = file.stem();
    SuiteItem item{.id = name,
                   .prompt = trimmed(read_text(file)),
                   .stem = "images/" + name,
                   .place = replace_invalid_utf8(file.filename().string())};
    if (name.find('.') != std::string::npos)
      reading.fault(item.place, "has a dot in its name, where the judge's program ends the name");
    take(reading, std::move(item), name);
  }
}

// A line is a prompt, and in some files a tab with more after it.
void read_category(Reading& reading, const fs::path& file) {
  std::string category = file.stem();
  if (category.ends_with(kValidation)) category.resize(category.size() - std::string(kValidation).size());
  if (const auto fault = stem_fault(category); !fault.empty())
    return reading.fault(fmt::format("{}: the category '{}'", file.filename().string(), category), fault);
  const auto lines = lines_of(read_text(file));
  int64_t number = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string prompt = trimmed(lines[i].substr(0, lines[i].find('\t')));
    if (prompt.empty()) continue;
    SuiteItem item{
        .id = fmt::format("{}/{}", category, number),
        .prompt = prompt,
        .stem = fmt::format("{}/samples/{}", category, prompt),
        .seed = kCompBenchSeed,
        .number = number,
        .place = fmt::format("{}, line {}", replace_invalid_utf8(file.filename().string()), i + 1)};
    ++number;
    take(reading, std::move(item), prompt);
  }
}

void read_compbench(Reading& reading, const fs::path& path) {
  if (!fs::is_directory(path)) return read_category(reading, path);
  for (const auto& file : files_with(path, std::string(kValidation) + ".txt")) read_category(reading, file);
}

void make_classes(Reading& reading, const std::string& number) {
  int64_t images = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), images);
  if (error != std::errc() || end != number.data() + number.size() || images < 1 || images > kMostImages)
    throw UserError(
        fmt::format("--suite classes:{}: give the number of images, 1 to {}, such as classes:50000.", number,
                    kMostImages));
  for (int64_t i = 0; i < images; ++i)
    reading.suite.items.push_back({.id = std::to_string(i), .place = fmt::format("image {}", i)});
  number_stems(reading.suite);
}

// --- which suite it is

SuiteKind recognised(const fs::path& path) {
  if (fs::is_directory(path))
    return files_with(path, std::string(kValidation) + ".txt").empty() ? SuiteKind::kDpg
                                                                       : SuiteKind::kCompBench;
  const std::string ending = ascii_lower(path.extension());
  if (ending != ".jsonl" && ending != ".ndjson") {
    const bool is_category = path.stem().string().ends_with(kValidation) && ending == ".txt";
    return is_category ? SuiteKind::kCompBench : SuiteKind::kCoco;
  }
  bool is_geneval = false;
  data::read_rows(path, [&](data::TableRow& row) {
    is_geneval = row.fields.contains("tag") && row.fields.contains("include");
    return false;
  });
  return is_geneval ? SuiteKind::kGenEval : SuiteKind::kJsonl;
}

// KIND:PATH, of which a part may be missing.
struct Named {
  std::optional<SuiteKind> kind = {};
  std::string path = {};
};

Named parse(const std::string& named) {
  const size_t colon = named.find(':');
  if (colon == std::string::npos || fs::exists(with_home(named))) return {.path = named};
  return {.kind = enum_of_word<SuiteKind>(named.substr(0, colon), "kind of suite"),
          .path = named.substr(colon + 1)};
}

// Images for each prompt that the protocols want; nothing for those that leave it open.
std::optional<int64_t> protocol_count(SuiteKind kind) {
  if (kind == SuiteKind::kGenEval || kind == SuiteKind::kDpg) return 4;
  if (kind == SuiteKind::kCompBench) return 10;
  return std::nullopt;
}

void check_count(const Suite& suite) {
  if (suite.kind == SuiteKind::kDpg && suite.count != 1 && suite.count != 4)
    throw UserError(
        fmt::format("--count {}: DPG-Bench judges one image of each prompt, or four in a grid; give 1 or 4.",
                    suite.count));
  if (suite.kind == SuiteKind::kClasses && suite.count != 1)
    throw UserError("--count has no effect with --suite classes:NUMBER: NUMBER counts all images.");
  if (int64_t(suite.items.size()) > kMostImages / suite.count)
    throw UserError(
        fmt::format("the suite has {} prompts and {} images of each; at most {} images are drawn.",
                    suite.items.size(), suite.count, kMostImages));
}

void read_kind(Reading& reading, const std::string& path) {
  switch (reading.suite.kind) {
    case SuiteKind::kJsonl:
      return read_jsonl(reading, path);
    case SuiteKind::kCoco:
      return read_coco(reading, path);
    case SuiteKind::kGenEval:
      return read_geneval(reading, path);
    case SuiteKind::kDpg:
      return read_dpg(reading, path);
    case SuiteKind::kCompBench:
      return read_compbench(reading, path);
    case SuiteKind::kClasses:
      return make_classes(reading, path);
  }
}

void require_path(const Named& named) {
  if (named.kind == SuiteKind::kClasses || fs::exists(with_home(named.path))) return;
  throw UserError(fmt::format(
      "--suite: {} does not exist. Give a file or folder of prompts, or classes:NUMBER; before the path, one "
      "of the kinds {} with a colon.",
      named.path, join(words_of_enum<SuiteKind>(), ", ")));
}

}  // namespace

Suite read_suite(const SuiteRequest& request) {
  Named named = parse(request.named);
  require_path(named);
  if (named.kind != SuiteKind::kClasses) named.path = with_home(named.path);
  Reading reading;
  reading.suite.kind = named.kind ? *named.kind : recognised(named.path);
  reading.suite.count = request.count.value_or(protocol_count(reading.suite.kind).value_or(1));
  if (reading.suite.kind == SuiteKind::kDpg && !fs::is_directory(named.path))
    throw UserError(fmt::format("{}: the prompts of DPG-Bench are a folder of text files.", named.path));
  read_kind(reading, named.path);
  reading.problems.throw_if_any(request.named);
  if (reading.suite.items.empty()) throw UserError(request.named + " has no prompts.");
  check_count(reading.suite);
  for (auto& item : reading.suite.items)
    if (reading.suite.kind == SuiteKind::kCompBench && request.seed) item.seed = request.seed;
  return std::move(reading.suite);
}

}  // namespace pixart::sample
