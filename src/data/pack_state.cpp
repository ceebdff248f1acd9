#include "pack_state.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/bounded_json.h"
#include "rejection_json.h"

namespace pixart::data {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kStateFormat = "pixart pack 1";
constexpr const char* kState = ".pack.json";
constexpr const char* kManifest = "pack.json";
constexpr const char* kRejected = ".pack-rejected.jsonl";
constexpr const char* kNumRejected = "num_rejected";

ordered_json json_without_rejections(const PackedShard& shard) {
  ordered_json entry = {{"file", shard.file},       {"bytes", shard.bytes},     {"sha256", shard.sha256},
                        {"samples", shard.samples}, {"first_row", shard.begin}, {"end_row", shard.end}};
  return entry;
}

ordered_json json_of(const PackedShard& shard) {
  ordered_json entry = json_without_rejections(shard);
  if (!shard.rejected.empty()) entry["rejected"] = formats::parse_ordered(rejections_text(shard.rejected));
  return entry;
}

// One line for each.
std::string rejected_lines(const std::vector<Rejection>& rejected) {
  std::string lines;
  for (const auto& rejection : rejected) lines += rejections_text({rejection}) + "\n";
  return lines;
}

ordered_json json_of(const PackState& state) {
  ordered_json all = {{"format", kStateFormat},
                      {"source", state.source},
                      {"type", state.type},
                      {"fingerprint", state.fingerprint},
                      {"shard_bytes", state.options.shard_bytes},
                      {"shard_samples", state.options.shard_samples},
                      {"verified", state.options.verify}};
  return all;
}

void add_shards(ordered_json& all, const PackState& state) {
  all["shards"] = ordered_json::array();
  for (const auto& shard : state.shards) all["shards"].push_back(json_of(shard));
}

void write(const fs::path& path, const ordered_json& content) {
  write_file_atomically(path, content.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

PackedShard shard_of(const ordered_json& entry) {
  PackedShard shard{.file = entry.at("file"),
                    .bytes = entry.at("bytes"),
                    .sha256 = entry.at("sha256"),
                    .samples = entry.at("samples"),
                    .begin = entry.at("first_row"),
                    .end = entry.at("end_row")};
  if (shard.file.find('/') != std::string::npos) throw UserError(shard.file + " is not a file name");
  if (entry.contains("rejected")) shard.rejected = parse_rejections(entry.at("rejected").dump());
  return shard;
}

// Reads one line into `rejected`; false if it is missing or damaged.
bool take_rejection(std::istream& lines, std::vector<Rejection>& rejected) {
  std::string line;
  if (!std::getline(lines, line) || lines.eof()) return false;
  try {
    rejected.push_back(parse_rejections(line).at(0));
    return true;
  } catch (const std::exception&) {  // of the JSON library, too
    return false;
  }
}

// Fills the shards from the lines of the file. Shards whose lines were lost, as in a power cut, are dropped.
void take_rejections(const fs::path& file, const std::vector<size_t>& counts, PackState& state) {
  require_no_pipe(file);
  std::ifstream lines(file);
  for (size_t i = 0; i < counts.size(); ++i)
    for (size_t k = 0; k < counts[i]; ++k)
      if (!take_rejection(lines, state.shards[i].rejected)) return state.shards.resize(i);
}

PackState state_of(const ordered_json& all, const fs::path& folder) {
  if (all.at("format") != kStateFormat) throw UserError("it has another format");
  PackState state{.source = all.at("source"),
                  .type = all.at("type"),
                  .fingerprint = all.at("fingerprint"),
                  .options = {.shard_bytes = all.at("shard_bytes"),
                              .shard_samples = all.at("shard_samples"),
                              .verify = all.at("verified")},
                  .shards = {}};
  std::vector<size_t> counts;
  for (const auto& entry : all.at("shards")) {
    state.shards.push_back(shard_of(entry));
    counts.push_back(entry.value(kNumRejected, size_t{0}));
  }
  take_rejections(folder / kRejected, counts, state);
  return state;
}

}  // namespace

std::optional<PackState> read_pack_state(const fs::path& folder) {
  for (const char* name : {kState, kManifest}) {
    const fs::path path = folder / name;
    std::error_code error;
    if (!fs::exists(path, error)) continue;
    try {
      return state_of(formats::parse_ordered(read_file(path)), folder);
    } catch (const std::exception& fault) {  // including those of the JSON library
      throw UserError(fmt::format("{} cannot be used: {}. Remove the folder, or choose another.",
                                  path.string(), fault.what()));
    }
  }
  return std::nullopt;
}

namespace {

void write_state(const fs::path& folder, const PackState& state) {
  ordered_json all = json_of(state);
  all["shards"] = ordered_json::array();
  for (const auto& shard : state.shards) {
    all["shards"].push_back(json_without_rejections(shard));
    if (!shard.rejected.empty()) all["shards"].back()[kNumRejected] = shard.rejected.size();
  }
  write(folder / kState, all);
  delete_file(folder / kManifest);  // left by a pack that was complete before
}

}  // namespace

void save_pack_state(const fs::path& folder, const PackState& state) {
  std::string lines;
  for (const auto& shard : state.shards) lines += rejected_lines(shard.rejected);
  // In a new folder the state comes first: it shows that the other file is ours.
  if (!fs::exists(folder / kRejected)) write_state(folder, state);
  write_file_atomically(folder / kRejected, lines);
  write_state(folder, state);
}

// Without rejections nothing is appended, so that the file need not be written to the disk.
void save_last_shard(const fs::path& folder, const PackState& state, const std::vector<Rejection>& added) {
  if (!added.empty()) {
    append_to_file(folder / kRejected, rejected_lines(added));
    sync_path(folder / kRejected);
  }
  write_state(folder, state);
}

void save_pack_manifest(const fs::path& folder, const PackState& state, const Ledger& ledger) {
  ordered_json all = json_of(state);
  all["listed"] = ledger.listed;
  all["accepted"] = ledger.accepted();
  all["rejected"] = ordered_json::object();
  for (const auto& [reason, count] : ledger.by_reason()) all["rejected"][reason] = count;
  uint64_t bytes = 0;
  for (const auto& shard : state.shards) bytes += shard.bytes;
  all["bytes"] = bytes;
  add_shards(all, state);
  write(folder / kManifest, all);
  delete_file(folder / kState);
  delete_file(folder / kRejected);
}

}  // namespace pixart::data
