// What happens to the thoughts that a reasoning model writes before its caption.
#pragma once
#include "pixart/base/enum_words.h"

namespace pixart::caption {

enum class Reasoning { kRemove, kReject };
inline EnumWords<Reasoning> enum_words(Reasoning) {
  return {{"remove", Reasoning::kRemove}, {"reject", Reasoning::kReject}};
}

}  // namespace pixart::caption
