#include "fuzz.h"
#include "pixart/base/log.h"
#include "pixart/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  if (size == 0 || data[0] == '{') return 0;  // tokenizer.json
  log::set_level(log::Level::kError);
  fuzz::accept_or_refuse([&] {
    const text::Tokenizer tokenizer(fuzz::file_of(data, size));
    const auto ids = tokenizer.encode("A red\u3000castle, \u00e9 \ufb01sh</s> <extra_id_0> ");
    for (const int64_t id : ids)
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
  });
  return 0;
}
