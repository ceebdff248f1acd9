// Feature sets of random numbers: reading them costs what reading real ones does.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::bench {

// Tokens of captions, spread evenly from `least` to `most`. scripts/bench_step.py computes the same lengths.
struct CaptionLengths {
  int64_t least = 120, most = 120;
  int64_t of(int64_t sample) const;
};
// From "60-120". Throws UserError if it is not 1 <= least <= most <= `limit`.
CaptionLengths caption_lengths(const std::string& text, int64_t limit);

// A folder that is removed at the end, also after an error.
struct Scratch {
  std::filesystem::path path;
  explicit Scratch(std::filesystem::path folder);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Samples without images, each with its own caption.
class Samples : public data::Dataset {
 public:
  explicit Samples(int64_t count) : count_(count) {}
  int64_t size() const override { return count_; }
  data::Row row(int64_t index) const override;
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<data::Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override { return "bench"; }

 private:
  std::string read_bytes_of(int64_t index) const override;  // throws
  int64_t count_;
  std::vector<std::string> names_;
  std::vector<data::Rejection> rejected_;
};

// Latents of 4 x side x side as float16, and features of captions: `dtype` is a word of data::CaptionDtype.
void write_latents(const std::filesystem::path& folder, const data::Dataset& dataset, int64_t side);
void write_captions(const std::filesystem::path& folder, const data::Dataset& dataset,
                    const std::string& dtype, const CaptionLengths& lengths, int64_t channels);

}  // namespace pixart::bench
