// Scores of images that a training run draws at many steps. Networks and reference are opened once. The ranks
// share the networks' work: each makes the rows of its images, and one rank computes the values from all rows.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "pixart/score/drawn_scores_config.h"

namespace pixart::score {

// Opens every path of the config, as far as names and shapes tell, and adds every problem.
void check_drawn_scores(const DrawnScoresConfig& config, Problems& problems);

struct DrawnValues {
  // By name, as `pixart score` gives them for the same images.
  std::vector<std::pair<std::string, double>> values = {};
  std::vector<std::string> notes = {};  // sentences about what limits the values
};

// What a card says of the images besides the scores.
struct DrawnSet {
  std::string name = {};                 // of the images: stage and step
  std::vector<std::string> hashes = {};  // DrawnRows::hashes of all images
  std::string sampling = {};             // JSON object: how they were drawn
};

// What the networks say of some images.
struct DrawnRows {
  at::Tensor rows = {};                  // [N, width()] float32 on the CPU
  std::vector<std::string> hashes = {};  // SHA-256 of the pixels of each image
};

class DrawnScores {
 public:
  // Opens the networks on `device`. The config must have passed check_drawn_scores(). Changes no global
  // setting beyond its calls: neither threads nor TF32. Throws UserError.
  DrawnScores(DrawnScoresConfig config, c10::Device device);
  ~DrawnScores();

  // Numbers in the row of an image.
  int64_t width() const;
  // The last bits of a row may depend on the images that are given with it.
  DrawnRows rows(const std::vector<Image>& images) const;

  // The rest is for the rank that computes values.
  // Reads the features of the reference from a file in the folder `cache`, or computes them once and writes the
  // file there. `progress` is called between batches and may throw; then nothing is written.
  void open_reference(const std::filesystem::path& cache, const std::function<void()>& progress);
  // The prompt of each image, for clip and pickscore.
  void set_prompts(const std::vector<std::string>& prompts, const std::function<void()>& progress);
  // `rows`: of all images, in order. `progress` is called between metrics. Everything is float64 on the CPU. Throws
  // UserError(kNumerics) if a value is not finite.
  DrawnValues values(const at::Tensor& rows, const std::function<void()>& progress) const;
  // The protocol card, in the layout of `pixart score`.
  std::string card(const DrawnValues& values, const DrawnSet& set) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::score
