#include "pixart/convert/lora.h"

#include <ATen/ATen.h>

#include <memory>

#include "lora_names.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/convert/tensor_map.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using formats::Weights;

namespace {

constexpr std::string_view kWeight = ".weight";

std::string module_of(const std::string& weight) { return weight.substr(0, weight.size() - kWeight.size()); }

TensorMap to_diffusers(const Architecture& architecture) {
  if (const auto* pixart = std::get_if<models::PixArtConfig>(&architecture))
    return pixart_to_diffusers(*pixart);
  return dit_to_diffusers(std::get<models::DitConfig>(architecture));
}

// Layers that may have an adapter, by their names in both layouts: the rows of an official weight.
std::map<std::string, Piece> places_of(const OfficialWeights& base) {
  std::map<std::string, Piece> places;
  for (const auto& [name, info] : base.weights.tensors)
    if (name.ends_with(kWeight)) places[module_of(name)] = {name};
  for (const auto& line : to_diffusers(base.identity.architecture).lines)
    if (line.target.ends_with(kWeight)) places[module_of(line.target)] = line.pieces.front();
  return places;
}

struct Patch {
  std::string module;  // for people
  int64_t index, first_row;
  const LoraLayer layer;
};
using Patches = std::map<std::string, std::vector<Patch>>;  // by the name of the weight

std::string shape_problem(const std::string& module, const LoraLayer& layer,
                          const std::vector<int64_t>& weight, const Piece& place) {
  if (weight.size() != 2)
    return fmt::format("{}: {} is not a matrix, but a convolution or a table", module, place.source);
  const int64_t rows = weight[0] / place.count;
  if (layer.a.size(1) == weight[1] && layer.b.size(0) == rows) return "";
  return fmt::format("shape: {} is for a layer of {} x {}; the layer of the model has {} x {}", module,
                     layer.b.size(0), layer.a.size(1), rows, weight[1]);
}

Patches find_places(const OfficialWeights& base, const LoraAdapters& adapters, const std::string& subject) {
  const auto places = places_of(base);
  std::vector<std::string> known;
  for (const auto& [module, place] : places) known.push_back(module);
  Patches patches;
  Problems problems;
  for (const auto& [module, layer] : adapters.layers) {
    const auto found = places.find(module);
    if (found == places.end()) {
      problems.add(fmt::format("the model has no layer {}{}", module, did_you_mean(module, known)));
      continue;
    }
    const Piece& place = found->second;
    const auto& shape = base.weights.tensors.at(place.source).shape;
    if (const std::string problem = shape_problem(module, layer, shape, place); !problem.empty()) {
      problems.add(problem);
      continue;
    }
    auto& there = patches[place.source];
    bool is_copy = false;  // diffusers' DiT has embedders in every block
    for (const auto& other : there) {
      if (other.index != place.index) continue;
      is_copy = other.layer.scale == layer.scale && at::equal(other.layer.a, layer.a) &&
                at::equal(other.layer.b, layer.b);
      if (!is_copy) problems.add(fmt::format("{} and {} change the same weights", other.module, module));
    }
    if (!is_copy) there.push_back({module, place.index, place.index * (shape[0] / place.count), layer});
  }
  problems.throw_if_any(subject);
  return patches;
}

std::vector<PlannedTensor> plan_of(const Weights& weights, const Patches& patches, double strength) {
  std::vector<PlannedTensor> plan;
  for (const auto& [name, info] : weights.tensors) {
    const auto found = patches.find(name);
    PlannedTensor line{
        .name = name, .disposition = Disposition::kCopied, .how = "", .bytes = int64_t(info.bytes())};
    if (found != patches.end()) {
      line.disposition = Disposition::kDerived;
      std::vector<std::string> parts;
      for (const auto& patch : found->second)
        parts.push_back(fmt::format("{:.4g} B A of {} (rank {})", strength * patch.layer.scale, patch.module,
                                    patch.layer.a.size(0)));
      line.how = "W + " + join(parts, ", ");
    }
    plan.push_back(std::move(line));
  }
  return plan;
}

fs::path lora_file(const fs::path& path) {
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"pytorch_lora_weights.safetensors", "adapter_model.safetensors"})
    if (fs::exists(path / name)) return path / name;
  throw UserError(
      path.string() +
      " has neither pytorch_lora_weights.safetensors nor adapter_model.safetensors; name the file.");
}

}  // namespace

LoraAdapters read_lora(const fs::path& path) {
  const fs::path file = lora_file(path);
  Weights weights = formats::open_weights(file);
  if (!holds_lora(weights)) throw UserError(file.string() + " has no LoRA adapters (lora_A, lora_B).");
  auto adapters = take_lora(weights, file.string());
  Problems problems;
  for (const auto& [name, info] : weights.tensors)
    problems.add(fmt::format("not a part of an adapter: {}", name));
  problems.throw_if_any(file.string());
  return adapters;
}

MergedLora merge_lora(OfficialWeights base, const LoraAdapters& adapters, double strength,
                      const std::string& subject) {
  const auto patches = std::make_shared<const Patches>(find_places(base, adapters, subject));
  MergedLora result{.weights = std::move(base), .plan = {}};
  Weights& weights = result.weights.weights;
  result.plan = plan_of(weights, *patches, strength);
  weights.read = [read = std::move(weights.read), patches, strength](const std::string& name) {
    const at::Tensor tensor = read(name);
    const auto found = patches->find(name);
    if (found == patches->end()) return tensor;
    at::NoGradGuard no_grad;
    const auto dtype = at::promote_types(tensor.scalar_type(), at::kFloat);
    at::Tensor merged = tensor.to(dtype, /*non_blocking=*/false, /*copy=*/true);
    for (const auto& patch : found->second)
      merged.narrow(0, patch.first_row, patch.layer.b.size(0))
          .addmm_(patch.layer.b.to(dtype), patch.layer.a.to(dtype), 1, strength * patch.layer.scale);
    return merged.to(tensor.scalar_type());
  };
  for (const auto& file : adapters.files) {
    const bool is_known = contains(weights.files, file);
    if (!is_known) weights.files.push_back(file);
  }
  auto& notes = result.weights.notes;
  notes.insert(notes.end(), adapters.notes.begin(), adapters.notes.end());
  return result;
}

void merge_own_lora(OfficialWeights& weights, const std::string& subject) {
  const std::string lora = describe_lora(weights.weights);
  const auto adapters = take_lora(weights.weights, subject);
  weights = merge_lora(std::move(weights), adapters, 1, subject).weights;
  weights.notes.push_back("merged into the weights: " + lora);
}

}  // namespace pixart::convert
