#include "pixart/data/stored_features.h"

#include <ATen/ATen.h>

#include <optional>

#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "pixart/formats/npy.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const fs::path& path, std::string detail) {
  throw BadSample({.row = 0,
                   .key = path.string(),
                   .offset = 0,
                   .reason = Reason::kBadFeature,
                   .detail = std::move(detail)});
}

// Returns the result of `read`; its error becomes a fault of the file.
template <class Read>
auto read_or_refuse(const fs::path& path, const Read& read) {
  try {
    std::optional<decltype(read(path))> result;
    retry_machine_faults("read " + path.string(), [&] { result = read(path); });
    return std::move(*result);
  } catch (const MachineFault&) {
    throw;
  } catch (const UserError& error) {
    refuse(path, error.what());
  }
}

std::string shape_of(const at::Tensor& tensor) {
  std::vector<std::string> sizes;
  for (const int64_t size : tensor.sizes()) sizes.push_back(std::to_string(size));
  return "(" + join(sizes, ", ") + ")";
}

void check_type(const fs::path& path, const std::string& what, const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kHalf)
    refuse(path, fmt::format("{} has type {}, expected float32 or float16", what,
                             at::toString(tensor.scalar_type())));
}

}  // namespace

StoredLatent read_stored_latent(const fs::path& path) {
  constexpr int64_t kChannels = 4;  // of a latent
  const at::Tensor stored = read_or_refuse(path, formats::load_npy);
  if (stored.dim() != 3 || stored.size(0) != 2 * kChannels || stored.numel() == 0)
    refuse(path, fmt::format("the latent has shape {}, expected (8, height, width)", shape_of(stored)));
  check_type(path, "the latent", stored);
  const at::Tensor values = stored.to(at::kFloat);
  if (!at::isfinite(values).all().item<bool>()) refuse(path, "the latent holds values that are not finite");
  const at::Tensor std = values.narrow(0, kChannels, kChannels);
  if (!(std > 0).all().item<bool>())
    refuse(path, "channels 4 to 7 of the latent are standard deviations, and some are not positive");
  return {.mean = values.narrow(0, 0, kChannels).contiguous(), .log_var = 2 * std.log()};
}

StoredCaption read_stored_caption(const fs::path& path, int64_t max_tokens) {
  PIXART_CHECK(max_tokens > 0);
  const auto arrays = read_or_refuse(path, [](const fs::path& file) { return formats::load_npz(file); });
  const auto features = arrays.find("caption_feature");
  if (features == arrays.end()) refuse(path, "the array caption_feature is missing");
  const at::Tensor& stored = features->second;
  if (stored.dim() != 3 || stored.size(0) != 1 || stored.numel() == 0)
    refuse(path,
           fmt::format("caption_feature has shape {}, expected (1, tokens, channels)", shape_of(stored)));
  check_type(path, "caption_feature", stored);
  const int64_t num_tokens = std::min(stored.size(1), max_tokens);
  at::Tensor tokens = stored[0].narrow(0, 0, num_tokens);
  if (const auto found = arrays.find("attention_mask"); found != arrays.end()) {
    const at::Tensor& mask = found->second;
    if (mask.dim() != 2 || mask.size(0) != 1 || mask.size(1) != stored.size(1))
      refuse(path, fmt::format("attention_mask has shape {}, but caption_feature has shape {}",
                               shape_of(mask), shape_of(stored)));
    const at::Tensor numbers = mask[0].to(at::kDouble);
    if (!((numbers == 0) | (numbers == 1)).all().item<bool>())
      refuse(path, "attention_mask holds values other than 0 and 1");
    tokens = tokens.index_select(0, numbers.narrow(0, 0, num_tokens).nonzero().flatten());
  }
  if (tokens.size(0) == 0) refuse(path, "attention_mask selects no token");
  tokens = tokens.to(at::kFloat).contiguous();
  if (!at::isfinite(tokens).all().item<bool>())
    refuse(path, "caption_feature holds values that are not finite");
  return {.tokens = tokens};
}

}  // namespace pixart::data
