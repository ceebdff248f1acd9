#include "pixart/features/excluded_samples.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::features {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

ordered_json json_of(const ExcludedSample& sample) {
  return {{"source", sample.source}, {"key", sample.key},
          {"row", sample.row},       {"from_position", sample.from_position},
          {"step", sample.step},     {"roll_back", sample.roll_back},
          {"reason", sample.reason}};
}

// The text or number at `name`, if there is one; another type is an error.
template <class T>
T value_in(const ordered_json& line, const char* name, T missing) {
  const auto found = line.find(name);
  if (found == line.end()) return missing;
  const bool fits = std::is_same_v<T, std::string> ? found->is_string() : found->is_number_integer();
  if (!fits)
    throw UserError(fmt::format("{} is {}, not {}", name,
                                found->dump(-1, ' ', true, ordered_json::error_handler_t::replace),
                                std::is_same_v<T, std::string> ? "a text" : "a whole number"));
  return found->template get<T>();
}

ExcludedSample sample_of(const std::string& text) {
  const auto line = formats::parse_ordered_or_discard(text);
  if (!line.is_object()) throw UserError("it is not a JSON object");
  ExcludedSample sample{.source = value_in(line, "source", std::string()),
                        .key = value_in(line, "key", std::string())};
  if (sample.source.empty() || sample.key.empty()) throw UserError("it lacks source or key");
  sample.row = value_in(line, "row", sample.row);
  sample.from_position = value_in(line, "from_position", sample.from_position);
  if (sample.from_position < 0) throw UserError("from_position is negative or too large");
  sample.step = value_in(line, "step", sample.step);
  sample.roll_back = value_in(line, "roll_back", sample.roll_back);
  sample.reason = value_in(line, "reason", sample.reason);
  return sample;
}

// Every source must have a sample at the start.
void require_samples(const StageParts& parts, const data::ExcludedRows& excluded, const fs::path& file) {
  Problems problems;
  for (const auto& part : parts) {
    const int64_t rows = part.dataset->size();
    int64_t row = 0;
    while (row < rows && excluded.has(part.first_row + row, 0)) ++row;
    if (row == rows) problems.add(fmt::format("source {} has no other samples", part.source->name));
  }
  problems.throw_if_any(file.string() + " (exclude) leaves nothing to train on");
}

}  // namespace

std::string lines_of(const std::vector<ExcludedSample>& samples) {
  std::string lines;
  for (const auto& sample : samples)
    lines += json_of(sample).dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  return lines;
}

std::vector<ExcludedSample> parse_excluded(const std::string& lines, const std::string& name) {
  std::vector<ExcludedSample> samples;
  Problems problems;
  int64_t number = 0;
  for (const auto& line : pixart::lines_of(lines)) {
    ++number;
    if (trimmed(line).empty()) continue;
    try {
      samples.push_back(sample_of(line));
    } catch (const UserError& error) {
      problems.add(fmt::format("line {}: {}", number, error.what()));
    }
  }
  problems.throw_if_any(name + " does not name samples, one {\"source\": ..., \"key\": ...} per line");
  return samples;
}

ExcludedSamples::ExcludedSamples(StageParts parts, const fs::path& file)
    : parts_(std::move(parts)), rows_by_key_(parts_.size()) {
  if (file.empty()) return;
  if (!fs::exists(file) || fs::is_directory(file))
    throw UserError(fmt::format("{} (exclude) is not a file: give a JSONL file of samples.", file.string()));
  Problems problems;
  for (const auto& sample : parse_excluded(read_file(file), file.string())) leave_out(sample, problems);
  problems.throw_if_any(file.string() + " (exclude) names samples that the stage does not have");
  require_samples(parts_, *rows_, file);
}

void ExcludedSamples::add(const std::vector<ExcludedSample>& found) {
  Problems problems;
  for (const auto& sample : found) {
    const std::string name = fmt::format("{}\n{}\n{}", sample.source, sample.row, sample.key);
    const auto [known, is_new] = found_places_.emplace(name, found_.size());
    if (is_new)
      found_.push_back(sample);
    else if (auto& earlier = found_[known->second]; sample.from_position < earlier.from_position)
      earlier = sample;
    else
      continue;
    leave_out(sample, problems);
  }
  problems.throw_if_any("roll-backs left out samples that the stage does not have");
}

void ExcludedSamples::leave_out(const ExcludedSample& sample, Problems& problems) {
  const auto is_of = [&](const StagePart& part) { return part.source->name == sample.source; };
  const auto first = std::find_if(parts_.begin(), parts_.end(), is_of);
  if (first == parts_.end()) {
    problems.add(fmt::format("{} of source {}, which the stage does not read", printable(sample.key),
                             printable(sample.source)));
    return;
  }
  const int64_t row = row_of(size_t(first - parts_.begin()), sample);
  if (row < 0)
    problems.add(
        fmt::format("source {} has no sample with the key {}", sample.source, printable(sample.key)));
  else  // at each of its resolutions
    for (const auto& part : parts_)
      if (is_of(part)) rows_->add(part.first_row + row, sample.from_position);
}

int64_t ExcludedSamples::row_of(size_t part, const ExcludedSample& sample) {
  const data::Dataset& dataset = *parts_[part].dataset;
  if (sample.row >= 0 && sample.row < dataset.size() && dataset.key(sample.row) == sample.key)
    return sample.row;
  auto& known = rows_by_key_[part];
  if (known.empty())
    for (int64_t row = 0; row < dataset.size(); ++row) known.emplace(dataset.key(row), row);
  const auto found = known.find(sample.key);
  return found == known.end() ? -1 : found->second;
}

ExcludedSample ExcludedSamples::sample(int64_t row) const {
  const auto [part, own] = part_of(parts_, row);
  return {.source = parts_[part].source->name, .key = parts_[part].dataset->key(own), .row = own};
}

std::string exclude_fingerprint(const fs::path& file) {
  return file.empty() ? "none" : file_fingerprint(file);
}

}  // namespace pixart::features
