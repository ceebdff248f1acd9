// Scores of features other than the Frechet distance. Rows are images.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace pixart::score {

inline at::Tensor in_doubles(const at::Tensor& rows) { return rows.cpu().to(at::kDouble); }

struct MeanAndDeviation {
  double mean = 0, deviation = 0;  // the deviation divides by the number of parts
};

// The kernel inception distance (Binkowski et al. 2018): the unbiased squared MMD with the kernel
// (x.y / D + 1)^3, in float64.
struct KidOptions {
  int64_t subsets = 100, subset_size = 1000;  // at most the size of the smaller set
  uint64_t seed = 0;
};
// Mean and deviation over subsets of both sets, drawn without replacement by counter-based keys. `progress` is
// called after each subset with their number.
MeanAndDeviation kernel_distance(const at::Tensor& first, const at::Tensor& second, const KidOptions& options,
                                 const std::function<void(int64_t)>& progress = {});
// Over all pairs: it has no seed. The work grows with the product of the sizes.
double kernel_distance_of_all(const at::Tensor& first, const at::Tensor& second);

// Improved precision and recall (Kynkaanniemi et al. 2019): the share of images in the balls around the others,
// whose radius is the distance to the k-th neighbour of their own set.
struct PrecisionRecall {
  double precision = 0;  // of `images`, in balls of `reference`
  double recall = 0;     // of `reference`, in balls of `images`
};
// `radii`: squared_radii() of the reference; undefined: they are computed here. `progress` is called between blocks.
PrecisionRecall precision_recall(const at::Tensor& images, const at::Tensor& reference, int64_t neighbours,
                                 const at::Tensor& radii = {}, const std::function<void()>& progress = {});

// The squared distance of each row to its k-th neighbour: [N] float64. The work grows with the square of N.
at::Tensor squared_radii(const at::Tensor& rows, int64_t neighbours,
                         const std::function<void()>& progress = {});

// Rows of a block of distances to `columns` rows: at most 2,048, and at most 64 MiB of doubles.
int64_t rows_in_block(int64_t columns);

// exp of the mean divergence between the classes of an image and those of its part of the set. It holds one sum
// for each part and class, however many images there are.
class InceptionScore {
 public:
  // `order`: the place of each image in the set that is cut into `splits` parts of nearly equal size.
  InceptionScore(std::vector<int64_t> order, int64_t splits);
  void add(const at::Tensor& logits);  // [B, classes] of the next images, any device
  MeanAndDeviation score() const;      // after the last image

 private:
  int64_t part_of(int64_t place) const;

  std::vector<int64_t> order_;
  int64_t splits_, done_ = 0;
  at::Tensor probabilities_, entropies_;  // sums: [splits, classes], [splits] float64
};

}  // namespace pixart::score
