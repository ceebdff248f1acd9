#include "pixart/convert/tensor_map.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/nn/state_dict.h"

namespace pixart::convert {

namespace {

using formats::WeightInfo;
using formats::Weights;

// Targets that are cut from the same source tensor follow each other, so the last few stay in memory.
class RecentTensors {
 public:
  explicit RecentTensors(std::function<at::Tensor(const std::string&)> read) : read_(std::move(read)) {}
  at::Tensor get(const std::string& name) {
    for (const auto& [known, tensor] : recent_)
      if (known == name) return tensor;
    constexpr size_t kMost = 4;  // weight and bias of two layers
    if (recent_.size() == kMost) recent_.pop_front();
    recent_.emplace_back(name, read_(name));
    return recent_.back().second;
  }

 private:
  std::function<at::Tensor(const std::string&)> read_;
  std::deque<std::pair<std::string, at::Tensor>> recent_;
};

// Shape and type of a line's target; adds problems if the pieces do not fit together.
WeightInfo result_of(const MapLine& line, const Weights& source, Problems& problems) {
  WeightInfo result{at::kFloat, {}};
  for (const auto& piece : line.pieces) {
    const WeightInfo& info = source.tensors.at(piece.source);
    if (info.shape.empty() ? piece.count > 1 || line.pieces.size() > 1 : info.shape[0] % piece.count != 0) {
      problems.add(fmt::format("{} cannot be cut into {} parts", piece.source, piece.count));
      continue;
    }
    if (&piece == &line.pieces.front()) {
      result = info;
      if (!result.shape.empty()) result.shape[0] = 0;
    }
    const bool same_kind = info.dtype == result.dtype && info.shape.size() == result.shape.size() &&
                           (info.shape.empty() ||
                            std::equal(info.shape.begin() + 1, info.shape.end(), result.shape.begin() + 1));
    if (!same_kind)
      problems.add(
          fmt::format("{} has another type or shape than the other parts of {}", piece.source, line.target));
    else if (!info.shape.empty())
      result.shape[0] += info.shape[0] / piece.count;
  }
  if (line.as_matrix) result.shape.resize(2);
  return result;
}

void account_for_all(const TensorMap& map, const Weights& source, Problems& problems) {
  std::vector<std::string> used = map.dropped, present;
  FewHints hint;
  for (const auto& line : map.lines) {
    for (const auto& piece : line.pieces) used.push_back(piece.source);
    used.insert(used.end(), line.copies.begin(), line.copies.end());
  }
  for (const auto& [name, info] : source.tensors) present.push_back(name);
  const std::set<std::string> known(used.begin(), used.end());
  for (const auto& name : present)
    if (known.count(name) == 0) problems.add(fmt::format("unexpected: {}{}", name, hint(name, used)));
  for (const auto& name : known) {
    const bool may_be_absent = std::count(map.dropped.begin(), map.dropped.end(), name) > 0;
    if (source.tensors.count(name) == 0 && !may_be_absent)
      problems.add(fmt::format("missing: {}{}", name, hint(name, present)));
  }
}

at::Tensor part_of(const at::Tensor& tensor, const Piece& piece) {
  if (piece.count == 1) return tensor;
  const int64_t rows = tensor.size(0) / piece.count;
  return tensor.narrow(0, piece.index * rows, rows);
}

void check_copies(const MapLine& line, const at::Tensor& first, RecentTensors& tensors,
                  const std::string& subject) {
  for (const auto& copy : line.copies) {
    const at::Tensor other = tensors.get(copy);
    if (other.scalar_type() != first.scalar_type() || !at::equal(other, first)) {
      throw UserError(fmt::format("{}: {} and {} must have equal values, but differ.", subject,
                                  line.pieces.front().source, copy));
    }
  }
}

template <class Model, class Config>
void check_against(const Weights& weights, const Config& config, const std::string& subject,
                   std::vector<std::string> may_be_missing) {
  nn::StateDict state({.dtype = at::kFloat, .device = at::kMeta});
  const Model model(nn::Scope(state), config);
  nn::check_state(state, formats::read_all(formats::shapes_only(weights)), subject,
                  {std::move(may_be_missing), {}});
  Problems problems;
  for (const auto& [name, info] : weights.tensors)
    if (!c10::isFloatingType(info.dtype))
      problems.add(
          fmt::format("{} has the type {}: quantised weights are not supported, bring the weights in "
                      "float32, float16 or bfloat16",
                      name, formats::dtype_text(info.dtype)));
  problems.throw_if_any(subject);
}

}  // namespace

Weights apply(const TensorMap& map, Weights source, const std::string& subject) {
  Problems problems;
  account_for_all(map, source, problems);
  problems.throw_if_any(subject);
  const auto lines = std::make_shared<std::map<std::string, MapLine>>();
  Weights result{.metadata = source.metadata, .files = source.files, .kind = source.kind};
  for (const auto& line : map.lines) {
    PIXART_CHECK(lines->emplace(line.target, line).second, "two lines make {}", line.target);
    result.tensors.emplace(line.target, result_of(line, source, problems));
  }
  problems.throw_if_any(subject);
  const auto recent = std::make_shared<RecentTensors>(source.read);
  result.read = [lines, recent, subject](const std::string& name) {
    const MapLine& line = lines->at(name);
    std::vector<at::Tensor> parts;
    for (const auto& piece : line.pieces) parts.push_back(part_of(recent->get(piece.source), piece));
    const at::Tensor whole = parts.size() == 1 ? parts.front() : at::cat(parts);
    check_copies(line, whole, *recent, subject);
    return (line.as_matrix ? whole.flatten(1) : whole).contiguous();
  };
  return result;
}

Weights cast(Weights source, at::ScalarType dtype) {
  for (auto& [name, info] : source.tensors)
    if (c10::isFloatingType(info.dtype)) info.dtype = dtype;
  source.read = [read = std::move(source.read), dtype](const std::string& name) {
    const at::Tensor tensor = read(name);
    return tensor.is_floating_point() ? tensor.to(dtype) : tensor;
  };
  return source;
}

void check_weights(const Weights& weights, const models::PixArtConfig& config, const std::string& subject,
                   const std::vector<std::string>& may_be_missing) {
  check_against<models::PixArt>(weights, config, subject, may_be_missing);
}
void check_weights(const Weights& weights, const models::DitConfig& config, const std::string& subject,
                   const std::vector<std::string>& may_be_missing) {
  check_against<models::Dit>(weights, config, subject, may_be_missing);
}
void check_weights(const Weights& weights, const models::VaeConfig& config, const std::string& subject) {
  check_against<models::AutoencoderKl>(weights, config, subject, {});
}
void check_weights(const Weights& weights, const models::T5Config& config, const std::string& subject) {
  check_against<models::T5Encoder>(weights, config, subject, {});
}

}  // namespace pixart::convert
