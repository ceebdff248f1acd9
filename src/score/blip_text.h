// What BLIP models read of texts: tokens of bert-base-uncased.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pixart/models/blip.h"
#include "pixart/text/bert_tokenizer.h"

namespace pixart::score {

inline constexpr int64_t kBlipTokens = 35;  // longer texts are cut

struct BlipTokens {
  at::Tensor ids, mask;  // [B, T] int64, padded to the longest text; 1 = token
  int64_t num_cut = 0;   // texts with more than kBlipTokens tokens
};
BlipTokens blip_tokens(const text::BertTokenizer& tokenizer, const std::vector<std::string>& texts);

}  // namespace pixart::score
