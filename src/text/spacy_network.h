// The networks of a small spaCy 3 pipeline: tok2vec (MultiHashEmbed, MaxoutWindowEncoder) and the layer of the tagger that
// listens to it. Facts: thinc's hashembed, maxout, layernorm, expand_window, residual and with_array; spacy/ml/models/tok2vec.py.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "msgpack.h"

namespace pixart::text {

// What the embedding may be told of a token.
enum class SpacyFeature { kNorm, kPrefix, kSuffix, kShape, kSpace, kIsSpace };
inline constexpr size_t kNumSpacyFeatures = 6;
using SpacyFeatures = std::array<uint64_t, kNumSpacyFeatures>;  // of one token: ids of texts, or 0 and 1

// Rows of equal width.
struct SpacyRows {
  size_t width = 0;
  std::vector<float> values = {};
  size_t count() const { return width == 0 ? 0 : values.size() / width; }
  float* row(size_t i) { return values.data() + i * width; }
  const float* row(size_t i) const { return values.data() + i * width; }
};

class SpacyTok2Vec {
 public:
  // The file tok2vec/model. Throws PackedError if its layers are not those named above.
  explicit SpacyTok2Vec(const Packed& file);

  // A vector for each token.
  SpacyRows vectors(const std::vector<SpacyFeatures>& tokens) const;

  size_t width() const { return mixer_.out; }

 private:
  struct HashTable {
    SpacyFeature feature = SpacyFeature::kNorm;
    uint32_t seed = 0;
    SpacyRows rows = {};
  };
  // y = norm(max over the pieces of W x + b)
  struct Maxout {
    size_t in = 0, out = 0, pieces = 0;
    std::vector<float> weight = {};  // (in, out * pieces)
    std::vector<float> bias = {}, gain = {}, shift = {};
  };

  static HashTable table_of(const Packed& file, size_t node, SpacyFeature feature);
  static Maxout maxout_of(const Packed& file, size_t maxout, size_t norm);
  static void apply(const Maxout& layer, const float* in, float* out);
  SpacyRows embedded(const std::vector<SpacyFeatures>& tokens) const;

  std::vector<HashTable> tables_;
  Maxout mixer_;
  std::vector<Maxout> encoder_;
  size_t pad_ = 0, window_ = 0;
};

// The file tagger/model: a linear layer from vectors to scores of labels.
class SpacyLabels {
 public:
  SpacyLabels(const Packed& file, size_t width, size_t num_labels);

  // The label with the highest score for each vector; the first of equal ones.
  std::vector<size_t> best(const SpacyRows& vectors) const;

 private:
  SpacyRows weight_;
  std::vector<float> bias_;
};

}  // namespace pixart::text
