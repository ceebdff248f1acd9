// `pixart data check`: opens every picture of a source and says what is in it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/data/quarantine.h"

namespace pixart::data {

// Smallest, median and largest of a set of numbers.
struct Spread {
  int64_t least = 0, median = 0, most = 0;
};
Spread spread_of(std::vector<int64_t> values);

struct CaptionKindReport {
  int64_t captions = 0, distinct = 0, cut = 0;
  Spread characters, tokens;  // tokens: only with a tokenizer
};

struct CheckReport {
  Ledger ledger;
  uint64_t bytes = 0;  // of the encoded pictures
  Spread width, height;
  std::map<std::string, CaptionKindReport> captions;
  std::vector<int64_t> class_sizes;  // by class
  std::vector<std::pair<std::string, int64_t>>
      aspects;  // key of the nearest official bucket -> pictures; table order
  std::vector<std::vector<std::string>> duplicates;  // keys of pictures with the same bytes, two or more each
  struct Example {
    std::string key, caption;
    int width = 0, height = 0;
  };
  std::vector<Example> examples;
};

struct CheckOptions {
  int64_t examples = 5;
  int64_t max_tokens = 120;                                      // captions that are longer lose their end
  std::function<int64_t(const std::string&)> count_tokens = {};  // empty: not counted
};

// With a progress bar, on several threads. Bad samples are in the ledger and no error.
CheckReport check(const SourceConfig& config, const Dataset& dataset, const CheckOptions& options);

}  // namespace pixart::data
