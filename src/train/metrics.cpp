#include "pixart/train/metrics.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::train {
using nlohmann::ordered_json;

MetricSink::MetricSink(std::filesystem::path file) : file_(std::move(file)), stream_(file_, std::ios::app) {}

void MetricSink::write(const std::string& stage, int64_t step, const std::map<std::string, double>& values) {
  ordered_json line = {{"stage", stage}, {"step", step}};
  for (const auto& [name, value] : values) line[name] = value;
  stream_ << line.dump() << "\n" << std::flush;
  if (!stream_) {
    throw UserError("cannot write " + file_.string() +
                        ". Is the disk full? Free space and start the same command again: it continues "
                        "from the last checkpoint.",
                    ExitCode::kStorage);
  }
}

void MetricSink::sync() { sync_path(file_); }

void MetricSink::rewind(const std::string& stage, int64_t step) {
  stream_.close();
  std::string kept;
  std::ifstream lines(file_);
  for (std::string line; std::getline(lines, line);) {
    const auto event = ordered_json::parse(line, nullptr, false);
    if (event.is_discarded()) continue;  // cut off by a kill
    if (event.value("stage", "") == stage && event.value("step", int64_t{0}) > step) continue;
    kept += line + "\n";
  }
  lines.close();
  write_file_atomically(file_, kept);
  stream_.open(file_, std::ios::app);
}

}  // namespace pixart::train
