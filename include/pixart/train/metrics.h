// Where numbers go: one JSON object a line in events.jsonl.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace pixart::train {

// {"stage": "text", "step": 20, "loss": 0.31, ...}; a line per call, flushed.
class MetricSink {
 public:
  explicit MetricSink(std::filesystem::path file);
  void write(const std::string& stage, int64_t step, const std::map<std::string, double>& values);

  void sync();  // what was written survives a power cut

  // Forgets the lines of `stage` after `step`: a resumed run writes them again.
  void rewind(const std::string& stage, int64_t step);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
};

}  // namespace pixart::train
