#include "mds_shard.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "json_text.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "read_bytes.h"

namespace pixart::data {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* kIndex = "index.json";
constexpr uint64_t kLargestIndex = uint64_t{1} << 30;
constexpr int kDeepestFolder = 4;
constexpr size_t kMostColumns = 10'000;
constexpr uint64_t kPiece = uint64_t{32} << 20;  // read_bytes() takes at most the bytes of an image

[[noreturn]] void fail(const MdsShard& shard, const std::string& detail) {
  throw ReadFault{Reason::kDamagedArchive, fmt::format("{}: {}", shard.name, detail)};
}

bool is_shard_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    if (at->is_directory(no_status) && !at->path().filename().string().starts_with('.'))
      folders.push_back(at->path());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  std::sort(folders.begin(), folders.end());
  return folders;
}

void add_indexes(const fs::path& folder, int deepest, std::vector<fs::path>& indexes) {
  if (has_mds_index(folder)) return indexes.push_back(folder / kIndex);
  if (deepest == 0) return;
  for (const auto& inner : folders_in(folder)) add_indexes(inner, deepest - 1, indexes);
}

json parse_index(const fs::path& file) {
  const json index = parse_json(read_file(file, kLargestIndex));
  const bool is_mds = index.is_object() && index.contains("shards") && index["shards"].is_array() &&
                      index.contains("version");
  return is_mds ? index : json();
}

std::string text_of(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// A whole number, not negative; -1 for other values.
int64_t number_of(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_number_unsigned() &&
                 found->get<uint64_t>() <= uint64_t(std::numeric_limits<int64_t>::max())
             ? found->get<int64_t>()
             : -1;
}

// Empty if the lists of the entry do not fit each other.
std::vector<MdsColumn> columns_in(const json& entry) {
  const char* keys[] = {"column_names", "column_encodings", "column_sizes"};
  for (const char* key : keys)
    if (!entry.contains(key) || !entry[key].is_array() || entry[key].size() != entry[keys[0]].size() ||
        entry[key].size() > kMostColumns)
      return {};
  std::vector<MdsColumn> columns;
  for (size_t i = 0; i < entry[keys[0]].size(); ++i) {
    const json &name = entry[keys[0]][i], &encoding = entry[keys[1]][i], &size = entry[keys[2]][i];
    if (!name.is_string() || !encoding.is_string() || !(size.is_null() || size.is_number_unsigned()))
      return {};
    columns.push_back(
        {name.get<std::string>(), encoding.get<std::string>(), size.is_null() ? 0 : size.get<uint64_t>()});
    if (columns.back().size > std::numeric_limits<uint32_t>::max()) return {};
  }
  return columns;
}

bool is_inside(const std::string& name) {
  const fs::path path = fs::path(name).lexically_normal();
  return !path.empty() && path.is_relative() && *path.begin() != "..";
}

// What to do about a compressed shard, of which no sample can be read by its place.
std::string remedy(const std::string& compression, const std::string& ending) {
  static const std::map<std::string, std::string> kTools = {
      {"zstd", "zstd -dc"}, {"gz", "gzip -dc"}, {"bz2", "bzip2 -dc"}, {"br", "brotli -dc"}};
  const auto tool = kTools.find(compression);
  if (tool == kTools.end()) return "write them again without compression";
  return fmt::format(
      "decompress them once in their folder: for f in *.{0}; do {1} \"$f\" > \"${{f%.{0}}}\"; done", ending,
      tool->second);
}

// The entry of shard `number` in an index, or what is wrong with it.
class Entry {
 public:
  Entry(const fs::path& root, const fs::path& folder, const json& entry, size_t number)
      : root_(root), folder_(folder), entry_(entry), number_(number) {}

  MdsShard shard() const {
    const std::string format = text_of(entry_, "format");
    if (number_of(entry_, "version") != 2 || format != "mds")
      throw UserError(fmt::format("a shard has format {} and version {}; only mds of version 2 is read",
                                  format.empty() ? "?" : format, number_of(entry_, "version")));
    const json raw = entry_.value("raw_data", json());
    MdsShard shard{};
    shard.samples = number_of(entry_, "samples");
    shard.columns = columns_in(entry_);
    const std::string name = text_of(raw, "basename");
    require(shard.samples >= 0, "samples is not a whole number from 0 on");
    require(!shard.columns.empty(),
            "column_names, column_encodings and column_sizes are not lists of one length");
    require(number_of(raw, "bytes") >= 0, "raw_data.bytes is not a whole number from 0 on");
    require(!name.empty(), "raw_data.basename is missing");
    require(is_inside(name), fmt::format("raw_data.basename '{}' leads out of the folder", name));
    shard.file = folder_ / name;
    shard.bytes = uint64_t(number_of(raw, "bytes"));
    shard.name = shard.file.lexically_relative(root_).generic_string();
    check_file(shard);
    return shard;
  }

 private:
  void require(bool is_good, const std::string& otherwise) const {
    if (!is_good) throw UserError(fmt::format("shard {}: {}", number_, otherwise));
  }

  void check_file(const MdsShard& shard) const {
    std::error_code error;
    const auto bytes = fs::file_size(shard.file, error);
    check_machine(shard.file, error.value());
    if (error) {
      const std::string zip = text_of(entry_.value("zip_data", json()), "basename");
      const std::string compression = text_of(entry_, "compression");
      if (is_inside(zip) && is_shard_file(folder_ / zip))
        throw UserError(fmt::format("shards are compressed ({}), which is not read; {}", compression,
                                    remedy(compression.substr(0, compression.find(':')),
                                           fs::path(zip).extension().string().substr(1))));
      throw UserError(fmt::format("{}: {}", shard.name, error.message()));
    }
    if (bytes != shard.bytes)
      throw UserError(fmt::format("{} has {} bytes, but its index says {}; fetch it again", shard.name, bytes,
                                  shard.bytes));
    if (shard.samples > int64_t(bytes / 4))
      throw UserError(
          fmt::format("{}: {} samples do not fit into {} bytes", shard.name, shard.samples, bytes));
  }

  const fs::path &root_, &folder_;
  const json& entry_;
  size_t number_;  // from 0
};

}  // namespace

const std::string& MdsShard::offsets() const {
  const std::scoped_lock lock(offsets_->mutex);
  if (!offsets_->bytes.empty()) return offsets_->bytes;
  const uint64_t size = 4 * (uint64_t(samples) + 2);
  if (size > bytes) fail(*this, "it is too short for its offsets");
  std::string read;
  for (uint64_t done = 0; done < size; done += kPiece)
    read += read_bytes(file, done, std::min(kPiece, size - done));
  const uint64_t count = from_little_endian(read, 0, 4);
  if (count != uint64_t(samples))
    fail(*this, fmt::format("it has {} samples, but its index says {}", count, samples));
  return offsets_->bytes = std::move(read);
}

std::vector<MdsPlace> MdsShard::places_of(int64_t sample) const {
  PIXART_CHECK(sample >= 0 && sample < samples, "sample {} of {}", sample, samples);
  const std::string& table = offsets();
  uint64_t at = from_little_endian(table, 4 * size_t(sample + 1), 4);
  const uint64_t end = from_little_endian(table, 4 * size_t(sample + 2), 4);
  uint64_t head = 0;
  for (const auto& column : columns) head += column.size == 0 ? 4 : 0;
  if (at < table.size() || end > bytes || at > end || end - at < head)
    fail(*this,
         fmt::format("the sample from byte {} to byte {} is not inside the samples of the file", at, end));
  const std::string sizes = head > 0 ? read_bytes(file, at, head) : std::string();
  at += head;
  std::vector<MdsPlace> places;
  size_t next = 0;
  for (const auto& column : columns) {
    const uint64_t size = column.size > 0 ? column.size : from_little_endian(sizes, 4 * next++, 4);
    if (size > end - at) fail(*this, fmt::format("the value of {} goes beyond its sample", column.name));
    places.push_back({.offset = at, .bytes = size});
    at += size;
  }
  if (at != end) fail(*this, fmt::format("a sample has {} bytes more than its values", end - at));
  return places;
}

std::string MdsShard::read(const MdsPlace& place) const {
  return place.bytes == 0 ? std::string() : read_bytes(file, place.offset, place.bytes);
}

bool has_mds_index(const fs::path& folder) { return is_shard_file(folder / kIndex); }

bool is_mds_folder(const fs::path& folder) {
  try {
    std::vector<fs::path> indexes;
    add_indexes(folder, 1, indexes);
    return !indexes.empty() && !parse_index(indexes.front()).is_null();
  } catch (const UserError&) {  // the source reports it
    return false;
  }
}

std::vector<MdsShard> list_mds(const std::string& subject, const fs::path& folder) {
  constexpr size_t kMostProblems = 20;
  std::vector<fs::path> indexes;
  add_indexes(folder, kDeepestFolder, indexes);
  if (indexes.empty())
    throw UserError(fmt::format(
        "{}: neither this folder nor one in it has the index.json of MDS shards. It names their columns "
        "and samples; fetch it with the shards.",
        subject));
  Problems problems;
  std::set<std::string> seen;
  const auto add = [&](const fs::path& index, const std::string& what) {
    if (seen.size() < kMostProblems && seen.insert(index.string() + what).second)
      problems.add(fmt::format("{}: {}", index.string(), what));
  };
  std::vector<MdsShard> shards;
  for (const auto& index : indexes) {
    try {
      const json content = parse_index(index);
      if (content.is_null()) throw UserError("it is not an index of MDS shards (version, shards)");
      const json& entries = content["shards"];
      for (size_t i = 0; i < entries.size(); ++i) {
        try {
          shards.push_back(Entry(folder, index.parent_path(), entries[i], i).shard());
        } catch (const MachineFault&) {
          throw;
        } catch (const UserError& error) {
          add(index, error.what());
        }
      }
    } catch (const MachineFault&) {
      throw;
    } catch (const UserError& error) {
      add(index, error.what());
    }
  }
  problems.throw_if_any(subject);
  return shards;
}

}  // namespace pixart::data
