#include "spacy_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "pixart/base/names.h"

namespace pixart::text {
namespace {

constexpr size_t kMostWindow = 8, kMostPad = 64, kLargestDim = size_t{1} << 24, kShownOfName = 200;

// --- thinc's format: lists of nodes, attributes and parameters, one of each for a layer

std::string_view name_of(const Packed& node) { return node.at("name").as_text(); }

std::vector<size_t> nodes_named(const Packed& file, std::string_view name) {
  std::vector<size_t> found;
  const auto& nodes = file.at("nodes").list();
  for (size_t i = 0; i < nodes.size(); ++i)
    if (name_of(nodes[i]) == name) found.push_back(i);
  return found;
}

const Packed& part_of_node(const Packed& file, const char* part, size_t node) {
  const auto& parts = file.at(part).list();
  if (node >= parts.size())
    throw PackedError(fmt::format("'{}' has {} layers, not more than {}", part, parts.size(), node));
  return parts[node];
}

// An attribute of a layer. Its own bytes are MessagePack again.
int64_t integer_attribute(const Packed& file, size_t node, const char* key) {
  return read_msgpack(part_of_node(file, "attrs", node).at(key).as_bytes()).as_integer();
}

size_t small_attribute(const Packed& file, size_t node, const char* key, size_t most) {
  const int64_t value = integer_attribute(file, node, key);
  if (value < 0 || uint64_t(value) > most)
    throw PackedError(fmt::format("'{}' is {}, and {} at most is read", key, value, most));
  return size_t(value);
}

struct NumpyArray {
  std::vector<size_t> shape = {};
  std::vector<float> values = {};
};

// An array as msgpack-numpy packs it.
NumpyArray array_at(const Packed& file, size_t node, const char* key, size_t num_dims) {
  static_assert(std::endian::native == std::endian::little);
  const auto& packed = part_of_node(file, "params", node).at(key);
  const auto& type = packed.at("type");
  if (!packed.at("nd").as_bool() || !(type.is(Packed::Kind::kText) || type.is(Packed::Kind::kBytes)) ||
      type.text != "<f4")
    throw PackedError(fmt::format("the array '{}' of layer {} is not of float32 (<f4)", key, node));
  NumpyArray array;
  size_t count = 1;
  for (const auto& dim : packed.at("shape").list()) {
    const int64_t size = dim.as_integer();
    if (size <= 0 || uint64_t(size) > kLargestDim || count > kLargestDim)
      throw PackedError(fmt::format("the array '{}' of layer {} has a dimension of {}", key, node, size));
    array.shape.push_back(size_t(size));
    count *= size_t(size);
  }
  const auto data = packed.at("data").as_bytes();
  if (array.shape.size() != num_dims || data.size() != count * sizeof(float))
    throw PackedError(fmt::format("the array '{}' of layer {} has {} dimensions and {} bytes for {} values",
                                  key, node, array.shape.size(), data.size(), count));
  array.values.resize(count);
  std::memcpy(array.values.data(), data.data(), data.size());
  if (!std::all_of(array.values.begin(), array.values.end(),
                   [](float value) { return std::isfinite(value); }))
    throw PackedError(fmt::format("the array '{}' of layer {} has values that are not finite", key, node));
  return array;
}

std::vector<float> vector_at(const Packed& file, size_t node, const char* key, size_t size) {
  auto array = array_at(file, node, key, 1);
  if (array.values.size() != size)
    throw PackedError(fmt::format("the array '{}' of layer {} has {} values, not {}", key, node,
                                  array.values.size(), size));
  return std::move(array.values);
}

// --- which layers are read

std::string repeated(std::string_view part, std::string_view between, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) text += between;
    text += part;
  }
  return text;
}

// The name that thinc gives a network of MultiHashEmbed without vectors of words, and MaxoutWindowEncoder.
std::string name_of_tok2vec(size_t num_tables, size_t depth) {
  return fmt::format(
      "extract_features>>list2ragged>>with_array({})>>with_array(maxout>>layernorm>>dropout)>>ragged2list>>with_array({})",
      repeated("ints-getitem>>hashembed", "|", num_tables),
      repeated("residual(expand_window>>maxout>>layernorm>>dropout)", ">>", depth));
}

void expect_layers(const Packed& file, const std::string& name, const char* what) {
  const auto& nodes = file.at("nodes").list();
  if (nodes.empty()) throw PackedError("it has no layers");
  const auto found = name_of(nodes.front());
  if (found != name)
    throw PackedError(fmt::format("its layers are {}; {} is read", found.substr(0, kShownOfName), what));
}

SpacyFeature feature_of(std::string_view name) {
  constexpr std::array<std::string_view, kNumSpacyFeatures> kNames = {"NORM",  "PREFIX", "SUFFIX",
                                                                      "SHAPE", "SPACY",  "IS_SPACE"};
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end())
    throw PackedError(fmt::format("it embeds {}; {} are read", name, fmt::join(kNames, ", ")));
  return SpacyFeature(found - kNames.begin());
}

// Four rows of a table for a key: thinc's MurmurHash3 of 128 bits for one number of 64.
std::array<uint32_t, 4> four_hashes(uint64_t key, uint32_t seed) {
  constexpr uint64_t kNumBytes = 8;
  const auto mixed = [](uint64_t h) {
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53;
    return h ^ h >> 33;
  };
  uint64_t first = std::rotl(key * 0x87C37B91114253D5, 31) * 0x4CF5AD432745937F ^ seed ^ kNumBytes;
  uint64_t second = seed ^ kNumBytes;
  first += second;
  second += first;
  first = mixed(first);
  second = mixed(second);
  first += second;
  second += first;
  return {uint32_t(first), uint32_t(first >> 32), uint32_t(second), uint32_t(second >> 32)};
}

void normalize(float* values, size_t width) {
  constexpr double kEpsilon = 1e-8;
  double sum = 0, squares = 0;
  for (size_t i = 0; i < width; ++i) sum += double(values[i]);
  const double mean = sum / double(width);
  for (size_t i = 0; i < width; ++i) squares += (double(values[i]) - mean) * (double(values[i]) - mean);
  const double scale = 1 / std::sqrt(squares / double(width) + kEpsilon);
  for (size_t i = 0; i < width; ++i) values[i] = float((double(values[i]) - mean) * scale);
}

// out += weight^T in, of a weight (size of in, size of out)
void add_product(const std::vector<float>& weight, const float* in, size_t num_in, float* out,
                 size_t num_out) {
  for (size_t i = 0; i < num_in; ++i) {
    const float* row = weight.data() + i * num_out;
    const float value = in[i];
    for (size_t j = 0; j < num_out; ++j) out[j] += value * row[j];
  }
}

}  // namespace

SpacyTok2Vec::SpacyTok2Vec(const Packed& file) {
  constexpr const char* kRead =
      "MultiHashEmbed without vectors of words, with MaxoutWindowEncoder (as in en_core_web_sm)";
  const auto tables = nodes_named(file, "hashembed"), maxouts = nodes_named(file, "maxout"),
             norms = nodes_named(file, "layernorm"), windows = nodes_named(file, "expand_window"),
             features = nodes_named(file, "extract_features");
  expect_layers(file, name_of_tok2vec(tables.size(), windows.size()), kRead);
  if (tables.empty() || windows.empty() || maxouts.size() != windows.size() + 1 ||
      norms.size() != maxouts.size() || features.size() != 1)
    throw PackedError(fmt::format("it has not the layers of {}", kRead));
  const auto columns = read_msgpack(part_of_node(file, "attrs", features[0]).at("columns").as_bytes());
  if (columns.list().size() != tables.size())
    throw PackedError("it has another number of tables than of features");
  for (size_t i = 0; i < tables.size(); ++i)
    tables_.push_back(table_of(file, tables[i], feature_of(columns.list()[i].as_text())));
  mixer_ = maxout_of(file, maxouts[0], norms[0]);
  for (size_t i = 1; i < maxouts.size(); ++i) encoder_.push_back(maxout_of(file, maxouts[i], norms[i]));
  const auto encode = file.at("nodes").list()[0].at("refs").at("encode").as_integer();
  pad_ = small_attribute(file, size_t(encode), "pad", kMostPad);
  window_ = small_attribute(file, windows[0], "window_size", kMostWindow);
  size_t embedded = 0;
  for (const auto& table : tables_) embedded += table.rows.width;
  bool fits = mixer_.in == embedded;
  for (const auto& layer : encoder_)
    fits = fits && layer.out == width() && layer.in == width() * (2 * window_ + 1);
  for (const size_t node : windows)
    fits = fits && small_attribute(file, node, "window_size", kMostWindow) == window_;
  if (!fits) throw PackedError("its layers do not fit together");
}

SpacyTok2Vec::HashTable SpacyTok2Vec::table_of(const Packed& file, size_t node, SpacyFeature feature) {
  auto array = array_at(file, node, "E", 2);
  const auto seed = small_attribute(file, node, "seed", std::numeric_limits<uint32_t>::max());
  return {.feature = feature,
          .seed = uint32_t(seed),
          .rows = {.width = array.shape[1], .values = std::move(array.values)}};
}

SpacyTok2Vec::Maxout SpacyTok2Vec::maxout_of(const Packed& file, size_t maxout, size_t norm) {
  const auto weight = array_at(file, maxout, "W", 3), bias = array_at(file, maxout, "b", 2);
  Maxout layer{.in = weight.shape[2], .out = weight.shape[0], .pieces = weight.shape[1], .bias = bias.values};
  if (bias.shape != std::vector<size_t>{layer.out, layer.pieces})
    throw PackedError(fmt::format("the arrays of layer {} do not fit together", maxout));
  const size_t rows = layer.out * layer.pieces;
  layer.weight.resize(weight.values.size());
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < layer.in; ++j) layer.weight[j * rows + i] = weight.values[i * layer.in + j];
  layer.gain = vector_at(file, norm, "G", layer.out);
  layer.shift = vector_at(file, norm, "b", layer.out);
  return layer;
}

void SpacyTok2Vec::apply(const Maxout& layer, const float* in, float* out) {
  auto sums = layer.bias;
  add_product(layer.weight, in, layer.in, sums.data(), sums.size());
  for (size_t i = 0; i < layer.out; ++i) {
    const float* pieces = sums.data() + i * layer.pieces;
    out[i] = *std::max_element(pieces, pieces + layer.pieces);
  }
  normalize(out, layer.out);
  for (size_t i = 0; i < layer.out; ++i) out[i] = out[i] * layer.gain[i] + layer.shift[i];
}

SpacyRows SpacyTok2Vec::embedded(const std::vector<SpacyFeatures>& tokens) const {
  SpacyRows result{.width = width(), .values = std::vector<float>(tokens.size() * width())};
  std::vector<float> joined(mixer_.in);
  for (size_t i = 0; i < tokens.size(); ++i) {
    float* place = joined.data();
    for (const auto& table : tables_) {
      std::fill_n(place, table.rows.width, 0.0F);
      for (const uint32_t hash : four_hashes(tokens[i][size_t(table.feature)], table.seed)) {
        const float* row = table.rows.row(hash % table.rows.count());
        for (size_t j = 0; j < table.rows.width; ++j) place[j] += row[j];
      }
      place += table.rows.width;
    }
    apply(mixer_, joined.data(), result.row(i));
  }
  return result;
}

// Before and after the tokens there are `pad_` rows that begin as zeros and go through all layers, too, as thinc pads a batch of
// texts; what is beyond them is zero.
SpacyRows SpacyTok2Vec::vectors(const std::vector<SpacyFeatures>& tokens) const {
  auto rows = embedded(tokens);
  const size_t size = width(), around = window_ * size;
  // The rows, with `window_` rows of zeros on each side
  std::vector<float> state(2 * around + (tokens.size() + 2 * pad_) * size);
  const auto begin = [&](std::vector<float>& values) { return values.begin() + std::ptrdiff_t(around); };
  std::copy(rows.values.begin(), rows.values.end(), begin(state) + std::ptrdiff_t(pad_ * size));
  std::vector<float> added(size);
  for (const auto& layer : encoder_) {
    auto next = state;
    for (size_t i = 0; i < tokens.size() + 2 * pad_; ++i) {
      apply(layer, state.data() + i * size, added.data());
      float* place = next.data() + around + i * size;
      for (size_t j = 0; j < size; ++j) place[j] += added[j];
    }
    state = std::move(next);
  }
  std::copy_n(begin(state) + std::ptrdiff_t(pad_ * size), rows.values.size(), rows.values.begin());
  return rows;
}

SpacyLabels::SpacyLabels(const Packed& file, size_t width, size_t num_labels) {
  expect_layers(file, "tok2vec-listener>>with_array(softmax)", "a tagger that listens to tok2vec");
  const auto layers = nodes_named(file, "softmax");
  if (layers.size() != 1) throw PackedError("it has not one layer of scores");
  auto weight = array_at(file, layers[0], "W", 2);
  if (weight.shape != std::vector<size_t>{num_labels, width})
    throw PackedError(fmt::format("it has {} labels of {} values; the rest of the pipeline has {} of {}",
                                  weight.shape[0], weight.shape[1], num_labels, width));
  weight_ = {.width = width, .values = std::move(weight.values)};
  bias_ = vector_at(file, layers[0], "b", num_labels);
}

std::vector<size_t> SpacyLabels::best(const SpacyRows& vectors) const {
  std::vector<size_t> best;
  std::vector<float> scores(bias_.size());
  for (size_t i = 0; i < vectors.count(); ++i) {
    for (size_t label = 0; label < scores.size(); ++label) {
      scores[label] = bias_[label];
      for (size_t j = 0; j < vectors.width; ++j) scores[label] += vectors.row(i)[j] * weight_.row(label)[j];
    }
    best.push_back(size_t(std::max_element(scores.begin(), scores.end()) - scores.begin()));
  }
  return best;
}

}  // namespace pixart::text
