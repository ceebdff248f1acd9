// Compressed keys and values of one block (PixArt-Sigma's AttentionKVCompress).
#pragma once
#include "pixart/models/transformer_shape.h"
#include "pixart/nn/layers.h"

namespace pixart::models {

struct TokenGrid {
  int64_t rows = 0, cols = 0;
};

// B batch, N = rows * cols tokens, M compressed tokens, D width, R the factor.
struct CompressedKeys {
  KvSampling sampling = KvSampling::kNone;  // of this block
  int64_t factor = 1;
  at::Tensor weight, bias;  // conv: sr [D, 1, R, R], [D]
  nn::AffineNorm norm;      // conv: of keys and of values
  CompressedKeys(const nn::Scope& scope, int64_t width, const KvCompression& compression, int64_t block);

  // Makes [B, M, D] of [B, N, D] on this grid; undefined where the block keeps all keys. The function refers
  // to this struct.
  nn::FewerTokens on(const TokenGrid& grid) const;

 private:
  at::Tensor compress(const at::Tensor& tokens, const TokenGrid& grid) const;
};

}  // namespace pixart::models
