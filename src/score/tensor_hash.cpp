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

}  // namespace pixart::score
