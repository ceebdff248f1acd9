// What the scores of drawn images are compared with.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "drawn_networks.h"
#include "images.h"
#include "moments.h"

namespace pixart::score {

inline constexpr int64_t kDrawnNeighbours = 3;                       // k of precision and recall
inline constexpr int64_t kLeastForPrecision = kDrawnNeighbours + 1;  // images

// The path of a reference: images, or an .npz file that holds statistics, features or images.
struct OpenedReference {
  std::filesystem::path path = {};
  std::optional<StatisticsFile> file = {};
  std::optional<ImageList> images = {};
};
OpenedReference open_reference(const std::filesystem::path& path);

// What the scores need of a reference and it does not have.
void check_reference(const OpenedReference& reference, const DrawnScoresConfig& config, Problems& problems);

// Throws UserError if a file says that its features were computed in another way. `tensors_sha256`: of FID's
// network; "" if it is not known, and then not compared.
void check_protocol(const OpenedReference& reference, const DrawnScoresConfig& config,
                    const std::string& tensors_sha256);

struct ReferenceFeatures {
  std::optional<Statistics> statistics = {};
  at::Tensor rows = {};     // [N, 2048] float32, for kid and precision-recall
  at::Tensor squares = {};  // [N, D] float32, CLIP's embeddings of the centre squares, for cmmd
  // Of the reference alone: squared_radii(rows), mean_kernel(squares). They cost the square of its size.
  at::Tensor radii = {};
  std::optional<double> mean_kernel = {};
  std::string sha256 = {};  // of the set of images, or of the file
  int64_t count = 0;        // 0: not known
  bool is_statistics = false;
  bool says_resize = true;  // how its images were resized is known
};

// Takes what the file has, and computes the rest from the images. The result is kept in a file of the folder
// `cache`, whose name is a hash of the listing and the networks; a damaged one is made again, with a warning.
// `progress` is called between batches. Throws UserError if the file was computed in another way.
ReferenceFeatures reference_features(const DrawnScoresConfig& config, const DrawnNetworks& networks,
                                     const std::filesystem::path& cache,
                                     const std::function<void()>& progress);

}  // namespace pixart::score
