// The noun statistics with which the paper compares captions (Table 1): distinct nouns, nouns that occur
// often enough to be learned, all nouns, and nouns per image. pixart/text/nouns.h defines what counts as a
// noun.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pixart/data/openings.h"
#include "pixart/text/nouns.h"

namespace pixart::data {

struct Caption;  // dataset.h

constexpr int64_t kValidAbove = 10;  // a noun is valid if it occurs more often

// Statistics for one kind of caption of one source.
struct NounStatistics {
  std::string source = {}, kind = {};
  int64_t images = 0, captions = 0, words = 0;  // images that have a caption of this kind
  int64_t distinct = 0, valid = 0, total = 0;   // nouns
  int64_t unknown_distinct = 0,
          unknown_total = 0;  // words that WordNet does not have: names, misspellings
  int64_t words_5 = 0, words_median = 0, words_95 = 0;         // words of a caption: percentiles
  std::vector<std::pair<std::string, int64_t>> by_count = {};  // nouns; most frequent first, then by name
  std::vector<Opening> openings = {};                          // first words that many captions share

  double per_image() const { return images > 0 ? double(total) / double(images) : 0; }
  double valid_share() const { return distinct > 0 ? double(valid) / double(distinct) : 0; }
};

// A row of the paper's Table 1, as printed.
struct PaperNouns {
  std::string name, valid, distinct, valid_share, total, per_image;
};
const std::vector<PaperNouns>& paper_nouns();

// Counts the captions of one source, image by image. `finder` must outlive the counter; several counters may
// share one.
class NounCounter {
 public:
  // `with_unknown` counts unknown words as nouns too, as a tagger mostly does.
  NounCounter(text::NounFinder& finder, std::string source, bool with_unknown = false)
      : finder_(finder), source_(std::move(source)), with_unknown_(with_unknown) {}

  // Of one image, which `key` names; several captions of a kind belong to one image.
  void add(const std::vector<Caption>& captions, const std::string& key = "");
  std::vector<NounStatistics> statistics() const;  // one entry for each kind, in order of first occurrence

 private:
  struct Kind {
    std::string name;
    int64_t images = 0;
    std::map<int64_t, int64_t> lengths = {};        // words -> captions
    std::vector<int64_t> nouns = {}, unknown = {};  // by the finder's number
    OpeningCounter openings = {};
  };
  Kind& kind_of(const std::string& name);
  NounStatistics statistics_of(const Kind& kind) const;

  text::NounFinder& finder_;
  std::string source_;
  bool with_unknown_;
  std::vector<Kind> kinds_;
  text::CaptionNouns found_;
};

}  // namespace pixart::data
