// Statistics in .npz files, in the layouts of pytorch-fid, clean-fid and ADM.
#include <ATen/ATen.h>

#include <set>

#include "inception.h"
#include "moments.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "pixart/formats/npy.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

using Arrays = std::map<std::string, at::Tensor>;

constexpr const char* kCount = "num_images";
constexpr const char* kProtocol = "pixart_protocol";  // UTF-8 as bytes

at::Tensor bytes_of(const std::string& text) {
  at::Tensor bytes = at::empty({int64_t(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  return bytes;
}

// What shows that a square matrix is not a covariance, beyond rounding of stored numbers; "" if nothing does.
std::string fault_of_covariance(const at::Tensor& matrix) {
  constexpr double kRounding = 1e-3;  // of the largest value
  const at::Tensor variances = matrix.diagonal();
  const double largest = matrix.abs().max().item<double>(), allowed = kRounding * largest;
  if (const double least = variances.min().item<double>(); least < -allowed)
    return fmt::format("has the variance {:.4g}, and a variance is not negative", least);
  if (const double apart = (matrix - matrix.t()).abs().max().item<double>(); apart > allowed)
    return fmt::format("is not symmetric: values that have to be equal differ by {:.4g}", apart);
  if (const double most = variances.max().item<double>(); largest > most + allowed)
    return fmt::format("has the value {:.4g}, more than its largest variance, {:.4g}", largest, most);
  return "";
}

// The mean and covariance with these names, if both are there and of the right shape.
std::optional<Statistics> statistics_in(const Arrays& arrays, const std::string& mean,
                                        const std::string& covariance, int64_t size, Problems& problems) {
  const auto found = arrays.find(mean), other = arrays.find(covariance);
  if (found == arrays.end() && other == arrays.end()) return std::nullopt;
  if (found == arrays.end() || other == arrays.end()) {
    problems.add(fmt::format("it has only one of {} and {}", mean, covariance));
    return std::nullopt;
  }
  const auto check = [&](const std::string& name, const at::Tensor& array, const at::IntArrayRef& shape) {
    if (array.sizes() != shape || !at::isFloatingType(array.scalar_type()))
      problems.add(fmt::format("{} is {} of {}, not {} of floats: other features than those of FID", name,
                               shape_text(array.sizes().vec()), c10::toString(array.scalar_type()),
                               shape_text(shape.vec())));
    else if (!array.isfinite().all().item<bool>())
      problems.add(fmt::format("{} has values that are not finite", name));
  };
  const size_t before = problems.all().size();
  check(mean, found->second, {size});
  check(covariance, other->second, {size, size});
  if (problems.all().size() > before) return std::nullopt;
  const at::Tensor matrix = other->second.to(at::kDouble);
  if (const auto fault = fault_of_covariance(matrix); !fault.empty()) {
    problems.add(fmt::format("{} is not a covariance: it {}", covariance, fault));
    return std::nullopt;
  }
  const auto count = arrays.find(kCount);
  return Statistics{
      .mean = found->second.to(at::kDouble),
      .covariance = matrix,
      .count = count != arrays.end() && count->second.numel() == 1 ? count->second.item<int64_t>() : 0};
}

at::Tensor rows_in(const Arrays& arrays, Problems& problems) {
  const auto found = arrays.find("feats");
  if (found == arrays.end()) return {};
  const at::Tensor& rows = found->second;
  if (rows.dim() == 2 && rows.size(1) == kFeatures && at::isFloatingType(rows.scalar_type())) {
    if (rows.isfinite().all().item<bool>()) return rows.to(at::kFloat);
    problems.add("feats has values that are not finite");
    return {};
  }
  problems.add(fmt::format("feats is {}, not rows of {} floats", shape_text(rows.sizes().vec()), kFeatures));
  return {};
}

at::Tensor images_in(const Arrays& arrays, Problems& problems) {
  const auto found = arrays.find("arr_0");
  if (found == arrays.end()) return {};
  const at::Tensor& images = found->second;
  const bool fits =
      images.dim() == 4 && images.size(3) == 3 && images.scalar_type() == at::kByte && images.numel() > 0;
  if (fits) return images;
  problems.add(fmt::format("arr_0 is {} of {}, not images [N, height, width, 3] of bytes",
                           shape_text(images.sizes().vec()), c10::toString(images.scalar_type())));
  return {};
}

}  // namespace

StatisticsFile read_statistics(const fs::path& file) {
  static const std::set<std::string> kKnown = {"mu",    "sigma", "mu_s", "sigma_s",
                                               "feats", "arr_0", kCount, kProtocol};
  const auto arrays = formats::load_npz(file, [](const std::string& name) { return kKnown.contains(name); });
  Problems problems;
  StatisticsFile result;
  result.features = statistics_in(arrays, "mu", "sigma", kFeatures, problems);
  result.spatial = statistics_in(arrays, "mu_s", "sigma_s", kSpatialFeatures, problems);
  result.rows = rows_in(arrays, problems);
  result.images = images_in(arrays, problems);
  const auto protocol = arrays.find(kProtocol);
  if (protocol != arrays.end() && protocol->second.scalar_type() == at::kByte)
    result.protocol.assign(static_cast<const char*>(protocol->second.const_data_ptr()),
                           size_t(protocol->second.numel()));
  problems.throw_if_any(file.string());
  if (!result.features && !result.spatial && !result.rows.defined() && !result.images.defined())
    throw UserError(fmt::format(
        "{}: it has neither statistics (mu, sigma) nor features (feats) nor images (arr_0).", file.string()));
  return result;
}

bool is_file_of_others(const fs::path& file) {
  if (!fs::exists(file)) return false;
  try {
    return formats::load_npz(file, [](const std::string& name) { return name == kProtocol; }).empty();
  } catch (const UserError&) {  // not an archive, or a damaged one
    return true;
  }
}

void save_statistics(const fs::path& file, const StatisticsFile& statistics) {
  Arrays arrays = {{kProtocol, bytes_of(statistics.protocol)}};
  const auto add = [&](const std::optional<Statistics>& own, const char* mean, const char* covariance) {
    if (!own) return;
    arrays[mean] = own->mean;
    arrays[covariance] = own->covariance;
    arrays[kCount] = at::scalar_tensor(own->count, at::kLong);
  };
  add(statistics.features, "mu", "sigma");
  add(statistics.spatial, "mu_s", "sigma_s");
  formats::save_npz(link_target(file), arrays);
}

}  // namespace pixart::score
