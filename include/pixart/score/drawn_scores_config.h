// Keys that say how images which a run draws are scored.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/score/score.h"

namespace pixart::score {

// The scores that a run can compute on the way, in the order in which they are written.
std::vector<std::string> drawn_score_names();

// The words are those of Metric (`pixart score --metrics`), and so are the other keys.
struct DrawnScoresConfig {
  std::vector<std::string> scores = {};
  std::filesystem::path reference = {}, weights = {};
  ResizeRule resize = ResizeRule::kClean;
  std::filesystem::path clip = {}, clip_tokenizer = {}, aesthetic_head = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("scores", s.scores, "What is computed of the images, as in pixart score --metrics.",
      one_of(drawn_score_names()).free());
    v("reference", s.reference,
      "Real images for fid, kid, precision-recall and cmmd: a folder, shards, or an .npz file; fid takes stored "
      "statistics, too.",
      any().free());
    v("weights", s.weights,
      "Weights of FID's network for fid, kid and precision-recall: pt_inception-2015-12-05-6726825d.pth.",
      any().free());
    v("resize", s.resize, "How images get to the 299 x 299 pixels of FID's network, as in pixart score.",
      any().free());
    v("clip", s.clip, "Folder of a CLIP model for cmmd, clip, aesthetic and pickscore.", any().free());
    v("clip_tokenizer", s.clip_tokenizer,
      "Folder of CLIP's tokenizer; unset: in the model's folder, or in the folder tokenizer next to it.",
      any().free());
    v("aesthetic_head", s.aesthetic_head, "LAION's head for aesthetic: sac+logos+ava1-l14-linearMSE.pth.",
      any().free());
  }
  // Adds what the scores need and no key names, and keys that none of them uses.
  void validate(std::vector<std::string>& problems) const;

  bool wants(Metric metric) const;
  bool uses_inception() const;        // fid, kid, precision-recall
  bool uses_clip() const;             // any of the others
  bool reads_crops() const;           // with CLIP's usual pixels: clip, aesthetic, pickscore
  bool reads_prompts() const;         // clip, pickscore
  bool compares() const;              // with the reference
  bool needs_reference_rows() const;  // features of each image of the reference: kid, precision-recall
  int64_t least_images() const;       // drawn ones, and those of the reference
};

}  // namespace pixart::score
