// Checks and counts of compressed keys.
#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/models/transformer_shape.h"

namespace pixart::models {

bool KvCompression::in_layer(int64_t block) const {
  return is_on() && std::find(layers.begin(), layers.end(), block) != layers.end();
}

int64_t KvCompression::keys(int64_t rows, int64_t cols) const {
  if (!is_on()) return rows * cols;
  if (sampling == KvSampling::kEvery) return rows * cols / factor;
  return (rows / factor) * (cols / factor);
}

std::vector<std::string> KvCompression::problems(int64_t depth) const {
  std::vector<std::string> found;
  const std::string how = word_of(sampling);
  if (sampling == KvSampling::kNone && !layers.empty())
    found.push_back("layers has no effect with sampling: none; choose a sampling, for example conv");
  if (sampling != KvSampling::kNone && layers.empty())
    found.push_back(fmt::format("sampling: {} needs layers: the blocks that are compressed", how));
  if (sampling != KvSampling::kNone && factor == 1)
    found.push_back(fmt::format("sampling: {} has no effect with factor: 1", how));
  std::set<int64_t> seen;
  for (const int64_t layer : layers) {
    if (layer < 0 || layer >= depth)
      found.push_back(fmt::format("layers has block {}; the model has blocks 0 to {}", layer, depth - 1));
    if (!seen.insert(layer).second) found.push_back(fmt::format("layers has block {} twice", layer));
  }
  return found;
}

std::string KvCompression::grid_problem(int64_t rows, int64_t cols) const {
  if (!is_on()) return "";
  const bool in_line = sampling == KvSampling::kEvery,
             whole_squares = rows % factor == 0 && cols % factor == 0;
  if (keys(rows, cols) == 0)
    return fmt::format("kv_compression.factor {} leaves no key of {} x {} tokens", factor, rows, cols);
  if (in_line && rows * cols % factor != 0)
    return fmt::format("kv_compression.factor {} does not divide {} x {} = {} tokens", factor, rows, cols,
                       rows * cols);
  if (sampling == KvSampling::kUniform && !whole_squares)
    return fmt::format("kv_compression.factor {} does not divide {} x {} tokens", factor, rows, cols);
  return "";
}

}  // namespace pixart::models
