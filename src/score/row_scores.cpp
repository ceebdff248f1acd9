#include "pixart/score/row_scores.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>

#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/print.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/nn/device.h"
#include "row_scorer.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

fs::path with_ending(const fs::path& path, const std::string& ending) { return path.string() + ending; }

// The files of a request; row_scores.h says what each holds.
struct Files {
  explicit Files(const RowScoreRequest& request) : out(link_target(request.out)), parts(request.parts) {
    done = parts == 1 ? out : part(request.part);
    partial = with_ending(done, ".partial");
    protocol = with_ending(out, ".protocol.json");
    quarantine = with_ending(out, ".quarantine.jsonl");
  }
  fs::path part(int64_t number) const {
    return with_ending(out, fmt::format(".{}-of-{}", number + 1, parts));
  }

  fs::path out;
  int64_t parts;
  fs::path done, partial, protocol, quarantine;
};

std::string text_of(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
}

// A line of RowScorer::lines(), as far as its names tell.
bool is_row_line(const ordered_json& line) {
  const auto is = [&](const char* name, auto has_type) {
    const auto found = line.is_object() ? line.find(name) : line.end();
    return found != line.end() && has_type(*found);
  };
  const auto text = [](const ordered_json& value) { return value.is_string(); };
  const auto number = [](const ordered_json& value) { return value.is_number_integer(); };
  return is("key", text) && is("row", number) &&
         ((is("width", number) && is("height", number)) || (is("rejected", text) && is("detail", text)));
}

// Files of the program have names that the files of a user may have, too.
bool is_own_lines_file(const fs::path& file) {
  return data::holds_only_own_lines(file, R"({"key":)", is_row_line);
}

// Of the files that this command reads, writes or deletes.
void require_own_files(const Files& files) {
  std::vector<fs::path> wanted = {files.partial};
  for (int64_t i = 0; files.parts > 1 && i < files.parts; ++i) wanted.push_back(files.part(i));
  Problems problems;
  for (const auto& file : wanted)
    if (!is_own_lines_file(file))
      problems.add(
          fmt::format("{} is there and has other lines than those of pixart data score", file.string()));
  problems.throw_if_any("neither replaced nor deleted: choose another --out, or move these files away");
  data::require_own_quarantine(files.quarantine);
}

// Lines of different protocols do not mix.
void require_protocol(const Files& files, const ordered_json& wanted) {
  std::error_code error;
  if (!fs::exists(files.protocol, error)) {
    if (fs::exists(files.out, error))
      throw UserError(
          fmt::format("{} exists, and no {} says how it was made. Choose another --out, or move the file.",
                      files.out.string(), files.protocol.filename().string()));
    return write_file_atomically(files.protocol, wanted.dump(1) + "\n");
  }
  const auto found = formats::parse_ordered_or_discard(read_file(files.protocol, uint64_t{1} << 24));
  if (!found.is_object())
    throw UserError(files.protocol.string() + " is damaged; remove it and the scores next to it.");
  Problems problems;
  for (const auto& [name, value] : wanted.items()) {
    const auto was = found.find(name);
    if (was == found.end() || *was != value)
      problems.add(fmt::format("{} was {}, and is {} now", name,
                               was == found.end() ? "not set" : text_of(*was), text_of(value)));
  }
  for (const auto& [name, value] : found.items())
    if (!wanted.contains(name))
      problems.add(fmt::format("{} was {}, and is not set now", name, text_of(value)));
  problems.throw_if_any(
      files.out.string() +
      " was begun with another protocol. Choose another --out, or remove it and the files that "
      "begin with its name");
}

ordered_json protocol_of(const data::SourceConfig& source, const data::Dataset& dataset,
                         const RowScorer& scorer) {
  ordered_json result = {{"version", 1}, {"source_sha256", dataset.fingerprint()}, {"rows", dataset.size()}};
  result.update(scorer.protocol());
  if (!scorer.reads_captions()) return result;
  result["captions_sha256"] = data::captions_fingerprint(dataset);
  result["captions"] = ordered_json::object();
  for (const auto& kind : source.captions) result["captions"][kind.name] = kind.weight;
  return result;
}

// Blocks are the batches; a part is a range of them.
struct Range {
  int64_t first = 0, last = 0, block = 1;  // rows [first, last)
};

Range range_of(const RowScoreRequest& request, int64_t rows) {
  const int64_t block = request.batch_size, blocks = (rows + block - 1) / block;
  return {.first = std::min(rows, blocks * request.part / request.parts * block),
          .last = std::min(rows, blocks * (request.part + 1) / request.parts * block),
          .block = block};
}

// Where the work goes on: a block whose lines may be incomplete is made again.
struct Start {
  int64_t row = 0;
  uint64_t bytes = 0;  // of the lines before it
};

Start find_start(const fs::path& partial, const Range& range) {
  Start start{.row = range.first};
  std::ifstream file(partial, std::ios::binary);
  uint64_t offset = 0;
  int64_t last_row = range.first - 1;
  for (std::string line; std::getline(file, line) && !file.eof(); offset += line.size() + 1) {
    const auto json = formats::parse_ordered_or_discard(line);
    const auto row = json.is_object() ? json.find("row") : json.end();
    if (!json.is_object() || row == json.end() || !row->is_number_integer()) break;
    const auto number = row->get<int64_t>();
    if (number <= last_row || number >= range.last) break;
    last_row = number;
    if (const int64_t first = number / range.block * range.block; first > start.row)
      start = {.row = first, .bytes = offset};
  }
  return start;
}

UserError stopped(const fs::path& partial) {
  return UserError(
      fmt::format("stopped on request: {} keeps what is done. The same command continues.", partial.string()),
      ExitCode::kRequeue);
}

class Job {
 public:
  Job(const data::SourceConfig& source, const data::Dataset& dataset, const RowScorer& scorer, Range range)
      : source_(source), dataset_(dataset), scorer_(scorer), range_(range) {
    for (const auto& rejection : dataset.rejected()) rejected_.insert(rejection.row);
  }

  void run(const fs::path& partial) const {
    const Start start = find_start(partial, range_);
    std::error_code error;
    if (fs::exists(partial, error)) fs::resize_file(partial, start.bytes, error);
    if (error) throw UserError(fmt::format("{}: {}", partial.string(), error.message()), ExitCode::kStorage);
    if (range_.first >= range_.last) return;  // more parts than batches
    int64_t next = start.row;
    Prefetch<int64_t, ReadRow> rows(
        physical_cores(), 2 * range_.block, [&] { return next_row(next); },
        [this](const int64_t& row) { return scorer_.read(dataset_, row); });
    Progress progress("score the rows of " + source_.name, range_.last - range_.first, "row",
                      start.row - range_.first);
    std::vector<ReadRow> batch;
    while (auto row = rows.next()) {
      if (!batch.empty() && batch.front().row / range_.block != row->row / range_.block)
        write(partial, batch, progress);
      batch.push_back(std::move(*row));
    }
    if (!batch.empty()) write(partial, batch, progress);
    progress.update(range_.last - range_.first);
  }

 private:
  std::optional<int64_t> next_row(int64_t& next) const {
    while (next < range_.last && rejected_.count(next) > 0) ++next;
    return next < range_.last ? std::optional(next++) : std::nullopt;
  }

  void write(const fs::path& partial, std::vector<ReadRow>& batch, Progress& progress) const {
    if (stop_requested()) throw stopped(partial);
    append_to_file(partial, scorer_.lines(batch));
    for (const auto& row : batch)
      if (row.rejection)
        log::warning("source {}: {} is not scored: {}", source_.name, printable(row.known.key),
                     printable(row.rejection->detail));
    progress.update(batch.back().row + 1 - range_.first);
    batch.clear();
  }

  const data::SourceConfig& source_;
  const data::Dataset& dataset_;
  const RowScorer& scorer_;
  const Range range_;
  std::set<int64_t> rejected_;  // by the listing
};

void rename_durably(const fs::path& from, const fs::path& to) {
  sync_path(from);
  std::error_code error;
  fs::rename(from, to, error);
  if (error)
    throw UserError(fmt::format("cannot rename {} to {}: {}", from.string(), to.string(), error.message()),
                    ExitCode::kStorage);
  sync_path(fs::absolute(to).parent_path());
}

void append_file(const fs::path& from, AtomicFile& to) {
  require_no_pipe(from);
  std::ifstream file(from, std::ios::binary);
  std::string piece(size_t{1} << 20, '\0');
  while (file.read(piece.data(), std::streamsize(piece.size())) || file.gcount() > 0)
    to.write(std::string_view(piece).substr(0, size_t(file.gcount())));
  if (file.bad()) throw UserError("cannot read " + from.string(), ExitCode::kStorage);
}

// Whichever process finds all parts done makes the whole of them, if all are as they were written. Returns whether it
// is there.
bool join_parts(const Files& files, const std::function<void(int64_t part)>& check) {
  const FileLock lock(files.protocol);
  std::error_code error;
  if (fs::exists(files.out, error)) return true;
  for (int64_t i = 0; i < files.parts; ++i)
    if (!fs::exists(files.part(i), error)) return false;
  for (int64_t i = 0; i < files.parts; ++i) check(i);
  AtomicFile whole(files.out);
  for (int64_t i = 0; i < files.parts; ++i) append_file(files.part(i), whole);
  whole.commit();
  for (int64_t i = 0; i < files.parts; ++i) delete_file(files.part(i));
  return true;
}

// Part files of other commands, such as those of another number of parts. Nothing reads them when the whole is there.
// One that another process makes stays, and so does one with other lines than ours.
void delete_part_files(const Files& files) {
  const std::string begin = files.out.filename().string() + ".";
  const std::regex part("(\\d+-of-\\d+(\\.partial)?|partial)");
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::absolute(files.out).parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin) || !std::regex_match(name.substr(begin.size()), part)) continue;
    const auto lock = FileLock::try_lock(entry.path());
    if (lock && is_own_lines_file(entry.path())) delete_file(entry.path());
  }
}

void make_part(const Files& files, const Job& job) {
  std::error_code error;
  if (fs::exists(files.done, error)) return;
  const auto lock = FileLock::try_lock(files.partial);
  if (!lock)
    throw UserError(fmt::format("another process makes {}.", files.done.string()), ExitCode::kFolderOwned);
  if (fs::exists(files.done, error)) return;  // it has just been renamed
  job.run(files.partial);
  rename_durably(files.partial, files.done);
}

// The values of a field, thinned out.
class Spreads {
 public:
  explicit Spreads(int64_t rows) : stride_(std::max<int64_t>(1, rows / 1'000'000)) {}
  void add(const ordered_json& line) {
    if (number_++ % stride_ != 0) return;
    for (const auto& [name, value] : line.items())
      if (value.is_number() && name != "row") values_[name].push_back(float(value.get<double>()));
  }
  std::vector<FieldSpread> spreads() {
    std::vector<FieldSpread> result;
    for (auto& [name, values] : values_) {
      std::sort(values.begin(), values.end());
      const auto at = [&](double share) { return double(values[size_t(share * double(values.size() - 1))]); };
      result.push_back({.name = name, .p5 = at(0.05), .median = at(0.5), .p95 = at(0.95)});
    }
    return result;
  }

 private:
  int64_t stride_, number_ = 0;
  std::map<std::string, std::vector<float>> values_;
};

// What is not UTF-8 was replaced in the line.
bool names_sample(const ordered_json& line, const std::string& key) {
  const auto written = [](const ordered_json& text) {
    return text.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  };
  const auto& own = line["key"].get_ref<const std::string&>();
  return own == key || written(own) == written(key);
}

UserError damaged(const fs::path& path, const std::string& why) {
  return UserError(
      fmt::format("{} was changed or is damaged: {}. Move it away; the same command then makes it again.",
                  path.string(), why),
      ExitCode::kStorage);
}

// Each row that the listing accepts has a line.
void require_all_rows(const fs::path& path, const data::Dataset& dataset, const Range& range,
                      const std::vector<bool>& has_line) {
  const auto lacking = std::count(has_line.begin(), has_line.end(), false);
  if (lacking == 0) return;
  const auto first = std::find(has_line.begin(), has_line.end(), false) - has_line.begin();
  throw damaged(path, fmt::format("{} of {} rows have no line, the first of them {}", lacking,
                                  range.last - range.first, printable(dataset.key(range.first + first))));
}

// Throws unless the scorer can have written the line in this place: `next` is the lowest row that it may be about.
void require_line(const fs::path& path, const data::Dataset& dataset, const RowScorer& scorer, int64_t number,
                  const ordered_json& line, int64_t next) {
  if (const std::string problem = scorer.problem_of(line); !problem.empty())
    throw damaged(path, fmt::format("line {} {}", number, problem));
  const auto row = line["row"].get<int64_t>();
  if (row < next) throw damaged(path, fmt::format("line {} is of row {} and not in order", number, row));
  if (const std::string key = dataset.key(row); !names_sample(line, key))
    throw damaged(path, fmt::format("line {} is of another sample than {}", number, printable(key)));
}

// Reads the lines of a range. Throws unless each row that the listing accepts has the line that was written.
void read_lines(const fs::path& path, const Range& range, const data::Dataset& dataset,
                const RowScorer& scorer, const std::function<void(const ordered_json&)>& use) {
  std::vector<bool> has_line(size_t(range.last - range.first));
  for (const auto& rejection : dataset.rejected())
    if (rejection.row >= range.first && rejection.row < range.last)
      has_line[size_t(rejection.row - range.first)] = true;
  require_no_pipe(path);
  std::ifstream file(path, std::ios::binary);
  int64_t number = 0, next = range.first;
  for (std::string text; std::getline(file, text);) {
    ++number;
    const auto line = formats::parse_ordered_or_discard(text);
    const auto row = line.is_object() ? line.find("row") : line.end();
    if (row == line.end() || !row->is_number_integer() || row->get<int64_t>() < 0 ||
        row->get<int64_t>() >= range.last)
      throw damaged(path, fmt::format("line {} is not a row of scores", number));
    require_line(path, dataset, scorer, number, line, next);
    next = row->get<int64_t>() + 1;
    const auto place = size_t(next - 1 - range.first);
    if (has_line[place])
      throw damaged(path, fmt::format("line {} is of row {}, which the source rejects", number, next - 1));
    has_line[place] = true;
    use(line);
  }
  require_all_rows(path, dataset, range, has_line);
}

RowScoreReport read_back(const Files& files, const data::SourceConfig& source, const data::Dataset& dataset,
                         const RowScorer& scorer) {
  Spreads spreads(dataset.size());
  std::vector<data::Rejection> found;
  read_lines(files.out, {.last = dataset.size()}, dataset, scorer, [&](const ordered_json& line) {
    if (line.contains("rejected"))
      found.push_back({.row = line["row"].get<int64_t>(),
                       .key = line["key"].get<std::string>(),
                       .reason = *reason_called(line["rejected"].get_ref<const std::string&>()),
                       .detail = line["detail"].get<std::string>()});
    else
      spreads.add(line);
  });
  RowScoreReport report{.is_complete = true,
                        .ledger = data::make_ledger(source.name, dataset, std::move(found))};
  report.fields = spreads.spreads();
  data::write_quarantine(files.quarantine, report.ledger);
  return report;
}

}  // namespace

RowScoreReport score_rows(const data::SourceConfig& source, const data::Dataset& dataset,
                          const RowScoreRequest& request) {
  Problems problems;
  check_request(request, problems);
  problems.throw_if_any("data score");
  const Files files(request);
  require_own_files(files);
  const c10::Device device = nn::select_device(request.device, request.local_rank);
  const RowScorer scorer(request, names_of(source.captions), device);
  if (files.out.has_parent_path()) create_folders(files.out.parent_path());
  require_protocol(files, protocol_of(source, dataset, scorer));
  std::error_code error;
  if (!fs::exists(files.out, error)) {
    make_part(files, Job(source, dataset, scorer, range_of(request, dataset.size())));
    const auto check = [&](int64_t part) {
      auto other = request;
      other.part = part;
      read_lines(files.part(part), range_of(other, dataset.size()), dataset, scorer, [](const auto&) {});
    };
    if (files.parts > 1 && !join_parts(files, check)) return {};
  }
  auto report = read_back(files, source, dataset, scorer);
  delete_part_files(files);
  return report;
}

}  // namespace pixart::score
