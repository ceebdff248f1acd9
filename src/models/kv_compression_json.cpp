#include "kv_compression_json.h"

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::models {

namespace {
constexpr const char *kSampling = "sampling", *kFactor = "factor", *kLayers = "layers";
}

KvCompression read_kv_compression(JsonConfig& section) {
  KvCompression result;
  const std::string word = section.text(kSampling, word_of(result.sampling));
  const auto words = words_of_enum<KvSampling>();
  if (contains(words, word))
    result.sampling = enum_of_word<KvSampling>(word, kSampling);
  else
    section.problems().add(unknown_name(kSampling, word, words));
  result.factor = section.count(kFactor, result.factor, int64_t(KvCompression::kLargestFactor));
  result.layers = section.indexes(kLayers);
  return result;
}

std::string kv_compression_text(const KvCompression& kv) {
  return nlohmann::ordered_json{{kSampling, word_of(kv.sampling)}, {kFactor, kv.factor}, {kLayers, kv.layers}}
      .dump();
}

KvCompression parse_kv_compression(const std::string& text, const std::string& subject) {
  JsonConfig section = JsonConfig::of_text(text, subject);
  KvCompression result = read_kv_compression(section);
  section.finish();
  return result;
}

}  // namespace pixart::models
