// T5's special tokens; the sentinels <extra_id_k> follow the pieces of the model.
#pragma once
#include <cstdint>

namespace pixart::text {

constexpr int64_t kPadId = 0, kEndId = 1, kUnknownId = 2;  // <pad>, </s>, <unk>

}  // namespace pixart::text
