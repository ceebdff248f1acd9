// What the sources that consist of files are made of: a table of records, each an encoded picture somewhere
// in a file. A source is a function that lists them.
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
  std::filesystem::path file = {};  // that holds the picture
  uint64_t offset = 0, bytes = 0;   // of the picture within it
};

// Listed records in the source's order, and what is wrong with single ones. A record that is rejected stays
// in the list.
struct Listing {
  std::string type = {};  // goes into the fingerprint
  std::vector<Record> records = {};
  std::vector<Rejection> rejected = {};  // any order; one per row at most counts (the first)
  std::vector<std::string> class_names = {};
  bool has_captions = true;  // false: samples of this source need none

  void reject(Reason reason, std::string detail, uint64_t offset = 0);  // the last record
};

// Applies what all sources share: `captions` of the config (choice, weights, files of pixart caption),
// max_samples, missing captions, captions that are no text, duplicate keys. Throws UserError where more
// captions are missing than the config allows, or nothing is left.
std::unique_ptr<Dataset> make_dataset(const SourceConfig& config, Listing listing);

}  // namespace pixart::data
