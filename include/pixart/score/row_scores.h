// Scores of each row of a source, in a file that sources filter and weight by (data::ScoresConfig).
//
//   OUT                   JSON lines in the order of the rows, when all are scored
//   OUT.protocol.json     what the scores depend on, as the first thing that is written
//   OUT.partial           the lines so far; with several parts OUT.3-of-8.partial, and OUT.3-of-8 when that is done. They
//                         are deleted when OUT is there, also those of another number of parts, if all lines are such
//   OUT.quarantine.jsonl  the rows that have no scores, and why, when all are scored
//
// A killed process continues after the last whole batch. A batch is a fixed range of rows, so the bytes of OUT
// depend neither on interruptions nor on the number of parts.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/data/quarantine.h"
#include "pixart/score/score.h"

namespace pixart::score {

// The metrics that a single row has: clip, aesthetic, pickscore.
const std::vector<Metric>& row_metrics();

struct RowScoreRequest {
  std::vector<Metric> metrics = {Metric::kClip, Metric::kAesthetic};  // of row_metrics()
  std::filesystem::path clip = {}, clip_tokenizer = {};               // as in ScoreRequest
  std::filesystem::path aesthetic_head = {};
  std::filesystem::path out = {};
  int64_t batch_size = 32;  // rows that the network sees at a time
  int64_t part = 0, parts = 1;
  std::string device = "auto";
  int local_rank = 0;  // of the parts on this machine: chooses the GPU
};

// Of one field of the lines.
struct FieldSpread {
  std::string name = {};
  double p5 = 0, median = 0, p95 = 0;  // quantiles of at most a million rows, evenly spread
};

struct RowScoreReport {
  bool is_complete = false;  // false: other parts are missing
  data::Ledger ledger = {};  // if it is complete
  std::vector<FieldSpread> fields = {};
};

// A line is {"key", "row", "width", "height", ...} with
//   clip_cosine  cosine of the image and its caption: the mean over the captions, each as often as training draws
//                it; with several kinds also clip_cosine_KIND. Missing without a caption
//   pickscore    the same times PickScore's factor, and pickscore_KIND
//   aesthetic    LAION's score
// or {"key", "row", "rejected", "detail"} for an image that cannot be read. Rows that the listing rejects have no
// line. Throws one UserError with every problem of the request; UserError if files of another protocol are there
// (names each difference), or, before any work, files of these names with other lines; kFolderOwned if another process makes this part; kRequeue if it was asked to stop, with
// whole batches kept; kNumerics if a score is not finite; kStorage if OUT, or a part before it is
// joined, lacks rows or has a line that is not as it was written (it stays).
RowScoreReport score_rows(const data::SourceConfig& source, const data::Dataset& dataset,
                          const RowScoreRequest& request);

}  // namespace pixart::score
