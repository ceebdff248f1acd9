// The noun statistics with which the paper compares captions (Table 1): distinct nouns, nouns that occur
// often enough to be learned, all nouns, and nouns per image. pixart/text/nouns.h defines what counts as a
// noun.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pixart/data/openings.h"
#include "pixart/text/nouns.h"

namespace pixart::data {

struct Caption;  // dataset.h
class Dataset;

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

// What was found in the captions of some images of one source. Any thread may make it, with a finder of its own.
class NounBlock {
 public:
  // Of one image, which `key` names; several captions of a kind belong to one image.
  void add(text::NounFinder& finder, const std::vector<Caption>& captions, const std::string& key = "");

 private:
  friend class NounCounter;
  struct Kind {
    std::string name;
    int64_t images = 0;
    std::vector<int64_t> lengths = {};  // words of each caption
    std::vector<uint32_t> nouns = {};   // by the finder's number
    std::vector<std::string> unknown = {};
    OpeningBlock openings = {};
  };
  std::vector<Kind> kinds_;  // in order of first occurrence
  text::CaptionNouns found_;
};

// Adds up the captions of one source, image by image. Memory grows with the number of different words, not of
// captions: a number for each noun, and a hash of 8 bytes for each unknown word (the word itself
// `with_unknown`). Two of ten million unknown words have the same hash, and count as one, in about one of
// 400,000 such sources.
class NounCounter {
 public:
  // `with_unknown` counts unknown words as nouns too, as a tagger mostly does. `finder` must outlive the counter,
  // and be, or have the same origin as, the finders of all blocks.
  NounCounter(text::NounFinder& finder, std::string source, bool with_unknown = false)
      : finder_(finder), source_(std::move(source)), with_unknown_(with_unknown) {}

  void add(const std::vector<Caption>& captions, const std::string& key = "");
  void add_block(const NounBlock& block);          // the same as its images one by one
  std::vector<NounStatistics> statistics() const;  // one entry for each kind, in order of first occurrence

 private:
  struct Kind {
    std::string name;
    int64_t images = 0;
    std::map<int64_t, int64_t> lengths = {};  // words -> captions
    std::vector<int64_t> nouns = {};          // by the finder's number
    std::unordered_map<std::string, int64_t> unknown_nouns = {};
    std::unordered_set<size_t> unknown = {};  // hashes
    int64_t unknown_total = 0;
    OpeningCounter openings = {};
  };
  NounStatistics statistics_of(const Kind& kind) const;

  text::NounFinder& finder_;
  std::string source_;
  bool with_unknown_;
  std::vector<Kind> kinds_;
};

struct CountedNouns {
  std::vector<NounStatistics> kinds = {};
  std::map<std::string, int64_t> not_counted = {};  // rows by the reason why they are not used
};

// Counts the captions of a source on several threads (0: as many as physical cores), with a progress bar. The
// result does not depend on their number, and memory not on that of the rows.
CountedNouns count_nouns(const Dataset& dataset, text::NounFinder& finder, const std::string& source,
                         bool with_unknown, int threads = 0);

}  // namespace pixart::data
