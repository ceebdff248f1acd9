// Means and covariances of features, the files that store them, and the Frechet distance between them.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace pixart::score {

struct Statistics {
  at::Tensor mean, covariance;  // [D], [D, D] float64, on the CPU; the covariance divides by N - 1
  int64_t count = 0;            // N; 0: not known
};

// Mean and covariance of rows that arrive in batches. It holds D * D numbers, however many rows there are.
class Moments {
 public:
  void add(const at::Tensor& rows);  // [B, D], any float type and device
  int64_t count() const { return count_; }
  Statistics statistics() const;  // needs two rows

 private:
  int64_t count_ = 0;
  at::Tensor mean_, squares_;  // [D], [D, D] float64: sums of products of deviations from the mean
};

// |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) in float64, at least 0. The last trace is the sum of the roots of the
// eigenvalues of S1^(1/2) S2 S1^(1/2), which needs no regularisation where a covariance is singular.
double frechet_distance(const Statistics& first, const Statistics& second);

// What an .npz file may hold: statistics of pytorch-fid and clean-fid (mu, sigma), of ADM (also mu_s, sigma_s
// and images), features of clean-fid (feats), images (arr_0).
struct StatisticsFile {
  std::optional<Statistics> features = {}, spatial = {};
  at::Tensor images = {};     // [N, H, W, 3] bytes, or undefined
  at::Tensor rows = {};       // [N, 2048] float32, or undefined
  std::string protocol = {};  // JSON of the program that computed them, if it is this one
};

// Throws UserError that names each array of a wrong type or shape or that is not a covariance, and if no array is known.
StatisticsFile read_statistics(const std::filesystem::path& file);

// Writes mu, sigma, mu_s, sigma_s (if there are any), num_images and the protocol, as others read them.
void save_statistics(const std::filesystem::path& file, const StatisticsFile& statistics);

// True if the file exists and save_statistics() did not write it.
bool is_file_of_others(const std::filesystem::path& file);

}  // namespace pixart::score
