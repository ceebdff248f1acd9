// The image tokens of one forward pass on their route (TokenRoute).
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/models/transformer_shape.h"

namespace pixart::models {

class TokenDetour {
 public:
  explicit TokenDetour(const TokenRoute& route) : route_(route) {}
  // What block `next` gets: x [B, N, D] or, where the blocks before had fewer tokens, x [B, K, D]. It is called
  // before each block, and after the last one with the number of blocks.
  at::Tensor before(size_t next, const at::Tensor& x);
  bool turns(size_t next) const;  // whether block `next` gets other tokens than the block before it gave

 private:
  at::Tensor index_for(const at::Tensor& x) const;  // [B, K, D]
  const TokenRoute& route_;
  at::Tensor all_;  // the tokens as they were where the ways part
};

}  // namespace pixart::models
