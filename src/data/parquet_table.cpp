#include "parquet_table.h"

#include <glob.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "file_ending.h"
#include "parquet_cache.h"
#include "parquet_library.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "read_bytes.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int kDeepestParquet = 4;     // below the source's folder
constexpr const char* kNull = "null";  // the type of a column in a file where all its values are null
constexpr size_t kMostFiles = 1'000'000;

void add_parquet(const fs::path& folder, int deepest, std::vector<fs::path>& files) {
  std::vector<fs::path> folders, here;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    const bool is_folder = at->is_directory(no_status);
    if (is_folder && !at->path().filename().string().starts_with('.')) folders.push_back(at->path());
    if (!is_folder && is_parquet_name(at->path())) here.push_back(at->path());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  files.insert(files.end(), here.begin(), here.end());
  for (const auto& inner : folders)
    if (here.empty() && deepest > 0 && files.size() < kMostFiles) add_parquet(inner, deepest - 1, files);
}

std::vector<fs::path> parquet_matching(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> files;
  if (::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found) == 0)
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return files;
}

// Any number of bytes; read_bytes() takes at most those of an image.
std::string read_part(const fs::path& file, uint64_t offset, uint64_t bytes) {
  constexpr uint64_t kPiece = uint64_t{32} << 20;
  std::string result;
  for (uint64_t done = 0; done < bytes; done += kPiece)
    result += read_bytes(file, offset + done, std::min(kPiece, bytes - done));
  return result;
}

// Calls `work`; what the plugin finds wrong with a file becomes a ReadFault.
template <class Work>
auto on_file(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const UserError&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw ReadFault{Reason::kDamagedArchive, where + ": " + error.what()};
  }
}

struct Group {
  int64_t first_row = 0, rows = 0;        // of the file
  std::vector<ParquetChunk> chunks = {};  // of the file's columns
};

struct File {
  fs::path path = {};
  int64_t first_row = 0, rows = 0;
  std::vector<ParquetColumn> columns = {};
  std::vector<Group> groups = {};
  std::string huggingface = {};

  ParquetRead reader() const {
    return [this](uint64_t offset, uint64_t bytes) { return read_part(path, offset, bytes); };
  }
  std::optional<size_t> find(const std::string& column) const {
    const auto found =
        std::find_if(columns.begin(), columns.end(), [&](const auto& one) { return one.name == column; });
    return found == columns.end() ? std::nullopt : std::optional(size_t(found - columns.begin()));
  }
};

File open_file(const fs::path& path) {
  const auto& plugin = parquet_plugin();
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  check_machine(path, error.value());
  if (error) throw ReadFault{Reason::kUnreadableFile, error.message()};
  File file{.path = path};
  auto footer = on_file(path.filename().string(), [&] { return plugin.read_footer(bytes, file.reader()); });
  file.columns = std::move(footer.columns), file.huggingface = std::move(footer.huggingface);
  for (auto& group : footer.groups) {
    file.groups.push_back({.first_row = file.rows, .rows = group.rows, .chunks = std::move(group.chunks)});
    file.rows += group.rows;
  }
  return file;
}

}  // namespace

bool is_parquet_name(const fs::path& path) {
  return file_ending(path) == ".parquet" && !path.filename().string().starts_with('.');
}

std::vector<fs::path> find_parquet(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(path, error))
    add_parquet(path, kDeepestParquet, files);
  else if (fs::exists(path, error))
    files = {path};
  else
    files = parquet_matching(path.string());
  std::sort(files.begin(), files.end());
  return files;
}

struct ParquetTable::State {
  std::vector<File> files;
  std::vector<fs::path> paths;
  std::string subject, huggingface;
  std::vector<std::string> chosen;          // names
  std::vector<std::vector<size_t>> places;  // for each chosen column its place in each file
  ParquetCache cache{kParquetCacheBytes};
  std::mutex mutex;
  std::map<ParquetCache::Key, std::shared_ptr<const ParquetPages>> pages;

  // In the first file that has values in it.
  const ParquetColumn* find(const std::string& column) const {
    const ParquetColumn* found = nullptr;
    for (const auto& file : files)
      if (const auto place = file.find(column); place && (found == nullptr || found->type == kNull)) {
        found = &file.columns[*place];
        if (found->type != kNull) break;
      }
    return found;
  }

  // The pages of a chunk, which are listed once.
  std::shared_ptr<const ParquetPages> pages_of(const ParquetCache::Key& key, const Group& group) {
    {
      const std::scoped_lock lock(mutex);
      if (const auto known = pages.find(key); known != pages.end()) return known->second;
    }
    const File& file = files[key[0]];
    auto listed = parquet_plugin().list_pages(file.columns[key[2]], group.chunks[key[2]], file.reader());
    if (listed.pages.empty() && group.rows > 0) throw std::runtime_error("it has no pages");
    const std::scoped_lock lock(mutex);
    return pages.emplace(key, std::make_shared<const ParquetPages>(std::move(listed))).first->second;
  }

  std::shared_ptr<const ParquetValues> values_of(ParquetCache::Key key, const Group& group,
                                                 const ParquetPages& all, size_t page) {
    key[3] = page;
    return cache.get(key, [&] {
      const File& file = files[key[0]];
      return parquet_plugin().read_page(file.columns[key[2]], group.chunks[key[2]], all.has_dictionary,
                                        all.pages[page].offset, file.reader());
    });
  }
};

ParquetTable::ParquetTable(const std::string& subject, std::vector<fs::path> files)
    : state_(std::make_unique<State>()) {
  constexpr int kThreads = 16;
  parquet_plugin();  // its absence is one problem, not one for each file
  state_->subject = subject;
  state_->files.resize(files.size());
  std::vector<std::string> faults(files.size());
  for_each_in_parallel(
      int64_t(files.size()),
      [&](int64_t i) {
        try {
          retry_machine_faults("read " + files[size_t(i)].string(),
                               [&] { state_->files[size_t(i)] = open_file(files[size_t(i)]); });
        } catch (const ReadFault& fault) {
          faults[size_t(i)] =
              fmt::format("{} is not a whole Parquet file: {}", files[size_t(i)].string(), fault.detail);
        }
      },
      kThreads);
  constexpr size_t kMostNamed = 20;
  std::erase(faults, "");
  Problems problems;
  for (size_t i = 0; i < std::min(faults.size(), kMostNamed); ++i) problems.add(faults[i]);
  if (faults.size() > kMostNamed) problems.add(fmt::format("{} more files", faults.size() - kMostNamed));
  problems.throw_if_any(subject);
  // A file without rows says nothing, not even about its columns.
  const auto is_empty = [](const File& file) { return file.rows == 0; };
  if (!std::all_of(state_->files.begin(), state_->files.end(), is_empty))
    std::erase_if(state_->files, is_empty);
  int64_t rows = 0;
  for (auto& file : state_->files) {
    file.first_row = rows;
    rows += file.rows;
    if (state_->huggingface.empty()) state_->huggingface = file.huggingface;
    file.huggingface = {};
    state_->paths.push_back(file.path);
  }
}

ParquetTable::~ParquetTable() = default;

int64_t ParquetTable::rows() const {
  return state_->files.empty() ? 0 : state_->files.back().first_row + state_->files.back().rows;
}

const std::vector<fs::path>& ParquetTable::files() const { return state_->paths; }
const std::string& ParquetTable::huggingface() const { return state_->huggingface; }

ParquetPlace ParquetTable::place_of(int64_t row) const {
  PIXART_CHECK(row >= 0 && row < rows(), "row {} of {}", row, rows());
  const auto& files = state_->files;
  const auto next = std::upper_bound(files.begin(), files.end(), row,
                                     [](int64_t value, const File& file) { return value < file.first_row; });
  const auto file = size_t(next - files.begin()) - 1;
  return {.file = file, .row = row - files[file].first_row};
}

std::set<std::string> ParquetTable::columns() const {
  std::set<std::string> names;
  for (const auto& file : state_->files)
    for (const auto& column : file.columns) names.insert(column.name);
  return names;
}

std::string ParquetTable::type_of(const std::string& column) const {
  const auto* found = state_->find(column);
  return found != nullptr ? found->type : "";
}

std::set<std::string> ParquetTable::types_of(const std::string& column) const {
  std::set<std::string> types;
  for (const auto& file : state_->files)
    if (const auto place = file.find(column)) types.insert(file.columns[*place].type);
  types.erase(kNull);
  return types;
}

ParquetKind ParquetTable::kind_of(const std::string& column) const {
  const auto* found = state_->find(column);
  return found != nullptr ? found->kind : ParquetKind::kOther;
}

bool ParquetTable::is_list(const std::string& column) const {
  const auto* found = state_->find(column);
  return found != nullptr && found->most_repeated > 0;
}

size_t ParquetTable::choose(const std::string& column) {
  auto& chosen = state_->chosen;
  if (const auto known = std::find(chosen.begin(), chosen.end(), column); known != chosen.end())
    return size_t(known - chosen.begin());
  std::vector<size_t> places;
  std::vector<std::string> without, other;
  const auto* first = state_->find(column);
  for (const auto& file : state_->files) {
    const auto place = file.find(column);
    places.push_back(place.value_or(0));
    if (!place)
      without.push_back(file.path.filename().string());
    else if (const auto& own = file.columns[*place]; own.kind != first->kind && own.type != kNull)
      other.push_back(file.path.filename().string());
  }
  Problems problems;
  if (!without.empty())
    problems.add(fmt::format("{} of {} files have no column '{}': {}", without.size(), places.size(), column,
                             name_some(without)));
  if (!other.empty())
    problems.add(fmt::format("the column '{}' has another type in {} of {} files: {}", column, other.size(),
                             places.size(), name_some(other)));
  problems.throw_if_any(state_->subject);
  chosen.push_back(column);
  state_->places.push_back(std::move(places));
  return chosen.size() - 1;
}

const std::string& ParquetTable::name_of(size_t chosen) const { return state_->chosen[chosen]; }

void ParquetTable::forget_others() {
  auto& places = state_->places;
  for (size_t f = 0; f < state_->files.size(); ++f) {
    File& file = state_->files[f];
    std::vector<ParquetColumn> columns;
    for (const auto& chosen : places) columns.push_back(file.columns[chosen[f]]);
    for (auto& group : file.groups) {
      std::vector<ParquetChunk> chunks;
      for (const auto& chosen : places) chunks.push_back(group.chunks[chosen[f]]);
      group.chunks = std::move(chunks);
    }
    file.columns = std::move(columns);
    for (size_t c = 0; c < places.size(); ++c) places[c][f] = c;
  }
}

namespace {

void append(const ParquetValues& values, size_t begin, size_t end, ParquetCell& cell) {
  for (size_t i = begin; i < end; ++i) {
    if (!values.places.empty())
      cell.texts.push_back(values.bytes.substr(values.places[i].first, values.places[i].second));
    else
      cell.numbers.push_back(values.numbers[i]);
  }
}

}  // namespace

ParquetCell ParquetTable::cell(int64_t row, size_t chosen) const {
  const ParquetPlace at = place_of(row);
  const File& file = state_->files[at.file];
  if (file.columns[state_->places[chosen][at.file]].type == kNull) return {};
  const auto next =
      std::upper_bound(file.groups.begin(), file.groups.end(), at.row,
                       [](int64_t value, const Group& group) { return value < group.first_row; });
  const Group& group = *(next - 1);
  const int64_t wanted = at.row - group.first_row;
  const ParquetCache::Key key = {at.file, uint64_t(next - 1 - file.groups.begin()),
                                 state_->places[chosen][at.file], 0};
  const std::string where = fmt::format("{}, row group {}, column {}", file.path.filename().string(), key[1],
                                        state_->chosen[chosen]);
  return on_file(where, [&] {
    const auto all = state_->pages_of(key, group);
    const auto after =
        std::upper_bound(all->pages.begin(), all->pages.end(), wanted,
                         [](int64_t value, const ParquetPage& page) { return value < page.first_row; });
    if (after == all->pages.begin()) throw std::runtime_error("no page has the row");
    auto page = size_t(after - all->pages.begin()) - 1;
    auto values = state_->values_of(key, group, *all, page);
    const auto place = size_t(wanted - all->pages[page].first_row);
    if (place + 1 >= values->first.size())
      throw std::runtime_error("its pages have fewer rows than the row group");
    ParquetCell cell;
    append(*values, values->first[place], values->first[place + 1], cell);
    // The last list of a page may go on in the next pages.
    bool is_last = place + 2 == values->first.size();
    while (is_last && ++page < all->pages.size() && all->pages[page].continues) {
      values = state_->values_of(key, group, *all, page);
      append(*values, 0, values->first.front(), cell);
      is_last = values->first.size() == 1;
    }
    return cell;
  });
}

std::string ParquetTable::number_text(size_t chosen, int64_t number) const {
  const bool is_unsigned = type_of(state_->chosen[chosen]) == "uint64";
  return is_unsigned ? std::to_string(uint64_t(number)) : std::to_string(number);
}

std::string ParquetTable::sizes(size_t chosen) const {
  std::string text;
  for (size_t f = 0; f < state_->files.size(); ++f)
    for (const auto& group : state_->files[f].groups)
      text += fmt::format("{} {}\n", group.rows, group.chunks[state_->places[chosen][f]].plain_bytes);
  return text;
}

}  // namespace pixart::data
