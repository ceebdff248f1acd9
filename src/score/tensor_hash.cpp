#include "tensor_hash.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::score {

void add_tensor(formats::Sha256& hash, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.cpu().contiguous();
  hash.add(fmt::format("{} {}\n", name, shape_text(values.sizes().vec())));
  hash.add({static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
}

std::string hash_of_state(const nn::StateDict& state) {
  formats::Sha256 hash;
  for (const auto& item : state.items()) add_tensor(hash, item.name, item.tensor);
  return hash.hex();
}

}  // namespace pixart::score
