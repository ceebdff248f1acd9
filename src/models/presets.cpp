// The published sizes of diffusion transformers.
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/models/transformer_shape.h"

namespace pixart::models {

namespace {

struct Size {
  const char* name;
  int64_t hidden_size, depth, num_heads;
};
constexpr Size kSizes[] = {{"S", 384, 12, 6}, {"B", 768, 12, 12}, {"L", 1024, 24, 16}, {"XL", 1152, 28, 16}};
constexpr int64_t kPatches[] = {2, 4, 8};

std::string name_of(const Size& size, int64_t patch) { return fmt::format("{}/{}", size.name, patch); }

}  // namespace

std::vector<std::string> transformer_preset_names() {
  std::vector<std::string> names;
  for (const auto& size : kSizes)
    for (int64_t patch : kPatches) names.push_back(name_of(size, patch));
  return names;
}

TransformerShape transformer_preset(const std::string& name) {
  for (const auto& size : kSizes)
    for (int64_t patch : kPatches)
      if (name == name_of(size, patch))
        return {.patch_size = patch,
                .hidden_size = size.hidden_size,
                .depth = size.depth,
                .num_heads = size.num_heads};
  throw UserError(unknown_name("size", name, transformer_preset_names()));
}

}  // namespace pixart::models
