#include <ATen/core/Tensor.h>

#include "fuzz.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"
#include "pixart/nn/state_dict.h"

namespace {

using namespace pixart;

constexpr int64_t kFewBlocks = 16;  // more take too long for a fuzzer

// Every config that is read can be built; on the meta device, which has no memory.
template <class Model, class Config>
void build(const Config& config) {
  nn::StateDict state({.device = at::kMeta});
  const Model model(nn::Scope(state), config);
  if (state.num_parameters() < 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto path = fuzz::file_of(data, size);
  fuzz::accept_or_refuse([&] {
    if (const auto config = models::read_t5_config(path); config.num_layers <= kFewBlocks)
      build<models::T5Encoder>(config);
  });
  fuzz::accept_or_refuse([&] {
    if (const auto config = models::read_vae_config(path); config.layers_per_block <= kFewBlocks)
      build<models::AutoencoderKl>(config);
  });
  fuzz::accept_or_refuse([&] {
    if (const auto config = models::read_pixart_config(path); config.depth <= kFewBlocks)
      build<models::PixArt>(config);
  });
  fuzz::accept_or_refuse([&] {
    if (const auto config = models::read_dit_config(path); config.depth <= kFewBlocks)
      build<models::Dit>(config);
  });
  return 0;
}
