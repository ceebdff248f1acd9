// Values that others published, computed again from their files: they show whether this program, its build and its
// machine give the scores of others.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/score/score.h"

namespace pixart::score {

enum class CalibrationKind {
  kScores,             // values of score()
  kClipProbabilities,  // softmax of logit scale times cosine of one image and some texts, as in openai/CLIP's README
  kClipPixels  // "difference": the largest one between the crop that CLIP sees of an image and stored pixels
};
inline EnumWords<CalibrationKind> enum_words(CalibrationKind) {
  return {{"scores", CalibrationKind::kScores},
          {"clip-probabilities", CalibrationKind::kClipProbabilities},
          {"clip-pixels", CalibrationKind::kClipPixels}};
}

struct CalibrationFile {
  std::filesystem::path path = {};  // a file or a folder
  std::string sha256 = {};          // of a file; "": not known
  std::string from = {};            // where it can be had; "": not known
};

// A value is equal if it differs by at most the tolerance.
struct CalibrationValue {
  std::string name = {};  // a value of score(), a text, or "difference"
  double published = 0, tolerance = 0;
};

struct CalibrationCase {
  std::string name = {}, source = {};  // the source with its version
  CalibrationKind kind = CalibrationKind::kScores;
  ScoreRequest request = {};  // of the CLIP kinds only `images` (one image file), `clip`, `clip_tokenizer`
  std::filesystem::path pixels = {};  // of kClipPixels: .npy file [3, side, side] or [1, 3, side, side]
  std::vector<CalibrationFile> files = {};
  std::vector<CalibrationValue> values = {};
};

// The values of CLIP, CMMD and CLIP's pixels that their authors published, for a folder with their files.
std::vector<CalibrationCase> published_calibration(const std::filesystem::path& folder);

// The cases of a JSON file; its paths belong to its folder. tools/guide/scores.md describes it. Throws UserError
// that lists every problem.
std::vector<CalibrationCase> read_calibration(const std::filesystem::path& file);

struct CalibratedValue {
  CalibrationValue wanted = {};
  double here = 0;
  bool is_equal() const;     // a value that is not a number is not equal
  std::string text() const;  // "cmmd is not equal: published 7.696, here 7.801, difference 0.105"
};

struct CalibratedCase {
  std::string name = {}, source = {};
  std::vector<std::string> missing =
      {};                    // sentences that name a file and where to get it; then there are no values
  std::string problem = {};  // why the values cannot be computed of the files; "": they can
  std::vector<CalibratedValue> values = {};
};

struct Calibration {
  std::vector<CalibratedCase> cases = {};
  std::string json = {};  // the same, with versions and device
  int64_t num_computed() const;
  int64_t num_failed() const;     // cases with a problem
  int64_t num_different() const;  // values
};

// Computes the cases whose files are there; the problem of a case costs the values of no other one. Throws UserError
// that lists every file with another hash than the case says, before anything is computed.
Calibration calibrate(const std::vector<CalibrationCase>& cases, const std::string& device,
                      int64_t batch_size);

}  // namespace pixart::score
