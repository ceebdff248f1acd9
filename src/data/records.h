// The base of all sources that consist of files: a table of records. A record is an encoded image in a file.
// A source is a function that lists records.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

struct Record {
  Row row = {};
  std::filesystem::path file = {};  // the file that holds the image
  uint64_t offset = 0, bytes = 0;   // position and size of the image in the file
};

// Listed records in the source's order, and the faults of single records. A rejected record stays in the
// list.
struct Listing {
  std::string type = {};  // part of the fingerprint
  std::vector<Record> records = {};
  std::vector<Rejection> rejected = {};  // in any order; only the first of each row counts
  std::vector<std::string> class_names = {};
  bool has_captions = true;  // false: samples of this source need no caption
  std::string hint = {};     // a sentence for the message about missing captions

  void reject(Reason reason, std::string detail, uint64_t offset = 0);  // rejects the last record
};

// Applies the rules that all sources share: `captions` of the config (choice, weights, files of pixart
// caption), max_samples, missing captions, invalid captions, duplicate keys. Several captions of one kind
// share its weight. Throws UserError if more captions are missing than the config allows, or if no sample is
// left.
std::unique_ptr<Dataset> make_dataset(const SourceConfig& config, Listing listing);

}  // namespace pixart::data
