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

// Layers that may have an adapter, by their names in both layouts and these names with '_' in place of '.'
// (kohya's): the rows of an official weight.
std::map<std::string, Piece> places_of(const OfficialWeights& base) {
  std::map<std::string, Piece> places;
  for (const auto& [name, info] : base.weights.tensors)
    if (name.ends_with(kWeight)) places[module_of(name)] = {name};
  for (const auto& line : to_diffusers(base.identity.architecture).lines)
    if (line.target.ends_with(kWeight)) places[module_of(line.target)] = line.pieces.front();
  for (const auto& [module, place] : std::map(places)) {
    std::string flat = module;
    std::replace(flat.begin(), flat.end(), '.', '_');
    places.emplace(flat, place);
  }
  return places;
}

struct Patch {
  std::string module;  // for people
  int64_t index, first_row;
  const LoraLayer layer;
};
using Patches = std::map<std::string, std::vector<Patch>>;  // by the name of the weight

// The shape of one row, without sides of 1 at its end: a 1 x 1 convolution is a linear layer.
std::vector<int64_t> row_shape(const std::vector<int64_t>& weight) {
  std::vector<int64_t> shape(weight.begin() + 1, weight.end());
  while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
  return shape;
}

std::string shape_problem(const std::string& module, const LoraLayer& layer, LoraStart start,
                          const std::vector<int64_t>& weight, const Piece& place) {
  if (weight.size() < 2) return fmt::format("{}: {} is not a matrix", module, place.source);
  if (start != LoraStart::kZero && layer.kernel.size() > 1)
    return fmt::format("{}: PiSSA and OLoRA do not exist for convolutions", module);
  const int64_t rows = weight[0] / place.count;
  if (layer.kernel == row_shape(weight) && layer.b.size(0) == rows) return "";
  return fmt::format("shape: {} is for a layer of {} x {}; the layer of the model has {} x {}", module,
                     layer.b.size(0), fmt::join(layer.kernel, " x "), rows,
                     fmt::join(row_shape(weight), " x "));
}

std::string no_layer(const std::string& module, const std::vector<std::string>& known) {
  if (module.starts_with("lora_te") || module.starts_with("text_encoder"))
    return fmt::format("{} belongs to a text encoder; only adapters of the transformer can be merged",
                       module);
  return fmt::format("the model has no layer {}{}", module, did_you_mean(module, known));
}

// The part of W that the training replaced before it began.
at::Tensor replaced_part(const at::Tensor& weight, LoraStart start, int64_t rank, double scale) {
  const int64_t count = std::min({rank, weight.size(0), weight.size(1)});
  if (start == LoraStart::kPissa) {
    const auto [u, s, v] = at::linalg_svd(weight, /*full_matrices=*/false);
    return (u.narrow(1, 0, count) * s.narrow(0, 0, count)).mm(v.narrow(0, 0, count));
  }
  const auto [q, r] = at::linalg_qr(weight);
  return scale * q.narrow(1, 0, count).mm(r.narrow(0, 0, count));
}

void add_patch(const Patch& patch, LoraStart start, double strength, at::Tensor& weight) {
  const at::Tensor rows = weight.view({weight.size(0), -1}).narrow(0, patch.first_row, patch.layer.b.size(0));
  at::Tensor replaced;
  if (start != LoraStart::kZero)
    replaced = replaced_part(rows, start, patch.layer.a.size(0), patch.layer.scale);
  at::Tensor(rows).addmm_(patch.layer.b.to(rows.dtype()), patch.layer.a.to(rows.dtype()), 1,
                          strength * patch.layer.scale);
  if (replaced.defined()) at::Tensor(rows).sub_(replaced, strength);
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
      problems.add(no_layer(module, known));
      continue;
    }
    const Piece& place = found->second;
    const auto& shape = base.weights.tensors.at(place.source).shape;
    if (const std::string problem = shape_problem(module, layer, adapters.start, shape, place);
        !problem.empty()) {
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

std::string start_text(LoraStart start) {
  if (start == LoraStart::kZero) return "";
  return fmt::format(", minus what {} replaced", start == LoraStart::kPissa ? "PiSSA" : "OLoRA");
}

std::vector<PlannedTensor> plan_of(const Weights& weights, const Patches& patches, LoraStart start,
                                   double strength) {
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
      line.how = "W + " + join(parts, ", ") + start_text(start);
    }
    plan.push_back(std::move(line));
  }
  return plan;
}

constexpr const char* kUsualNames[] = {"pytorch_lora_weights.safetensors", "adapter_model.safetensors",
                                       "pytorch_lora_weights.bin", "adapter_model.bin"};

// The file under a usual name, or the only one with weights; "" if there is none.
fs::path file_in(const fs::path& folder) {
  for (const char* name : kUsualNames)
    if (fs::exists(folder / name)) return folder / name;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors") files.push_back(entry.path());
  return files.size() == 1 ? files.front() : fs::path();
}

// PEFT saves each named adapter in a folder of its own, PixArt's script in transformer_lora.
fs::path lora_file(const fs::path& path) {
  if (!fs::is_directory(path)) return path;
  if (const fs::path file = file_in(path); !file.empty()) return file;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_directory())
      if (const fs::path file = file_in(entry.path()); !file.empty()) found.push_back(file.string());
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return found.front();
  if (!found.empty())
    throw UserError(
        fmt::format("{} has several adapters; name one of them: {}.", path.string(), name_some(found)));
  throw UserError(fmt::format("{} has none of the files {}; name the file.", path.string(),
                              fmt::join(kUsualNames, ", ")));
}

// A word about the kind of adapter that the tensor belongs to, if it is known.
std::string foreign_kind(const std::string& name) {
  static const std::pair<const char*, const char*> kinds[] = {{"lora_magnitude_vector", "DoRA"},
                                                              {"dora_scale", "DoRA"},
                                                              {"hada_w", "LoHa"},
                                                              {"lokr_w", "LoKr"},
                                                              {"oft_", "OFT"},
                                                              {"lora_mid", "LoCon with a third matrix"}};
  for (const auto& [part, kind] : kinds)
    if (name.find(part) != std::string::npos) return fmt::format(" ({}, which is not supported)", kind);
  return "";
}

void say_start(LoraAdapters& adapters) {
  if (adapters.start == LoraStart::kZero) return;
  adapters.notes.push_back(fmt::format(
      "the training replaced a part of the weights ({}), which is computed again from these weights: they "
      "must be the ones from which the training started",
      adapters.start == LoraStart::kPissa ? "PiSSA" : "OLoRA"));
}

}  // namespace

LoraAdapters read_lora(const fs::path& path) {
  const fs::path file = lora_file(path);
  Weights weights = formats::open_weights(file);
  if (!holds_lora(weights)) {
    std::string kind;
    for (const auto& [name, info] : weights.tensors)
      if (kind.empty()) kind = foreign_kind(name);
    throw UserError(fmt::format("{} has no LoRA adapters (lora_A and lora_B, or lora_down and lora_up){}.",
                                file.string(), kind.empty() ? "" : ", but others" + kind));
  }
  auto adapters = take_lora(weights, file.string());
  Problems problems;
  for (const auto& [name, info] : weights.tensors)
    problems.add(fmt::format("not a part of an adapter: {}{}", name, foreign_kind(name)));
  problems.throw_if_any(file.string());
  say_start(adapters);
  return adapters;
}

MergedLora merge_lora(OfficialWeights base, const LoraAdapters& adapters, double strength,
                      const std::string& subject) {
  const auto patches = std::make_shared<const Patches>(find_places(base, adapters, subject));
  MergedLora result{.weights = std::move(base), .plan = {}};
  Weights& weights = result.weights.weights;
  result.plan = plan_of(weights, *patches, adapters.start, strength);
  weights.read = [read = std::move(weights.read), patches, start = adapters.start,
                  strength](const std::string& name) {
    const at::Tensor tensor = read(name);
    const auto found = patches->find(name);
    if (found == patches->end()) return tensor;
    at::NoGradGuard no_grad;
    const auto dtype = tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor merged = tensor.to(dtype, /*non_blocking=*/false, /*copy=*/true);
    for (const auto& patch : found->second) add_patch(patch, start, strength, merged);
    return merged.to(tensor.scalar_type());
  };
  for (const auto& file : adapters.files) {
    const bool is_known = contains(weights.files, file);
    if (!is_known) weights.files.push_back(file);
  }
  if (adapters.process) result.weights.identity.process = adapters.process;
  auto& notes = result.weights.notes;
  notes.insert(notes.end(), adapters.notes.begin(), adapters.notes.end());
  return result;
}

void require_same_prediction(const OfficialWeights& base, const LoraAdapters& adapters,
                             const std::string& subject) {
  const auto &stated = base.identity.process, &trained = adapters.process;
  if (!stated || !trained || stated->prediction == trained->prediction) return;
  const std::string word = word_of(trained->prediction);
  throw UserError(fmt::format(
      "{}: the adapters were trained in a model that predicts {}, and the weights predict {}. If that "
      "training began with such weights, --prediction {} merges them.",
      subject, word, word_of(stated->prediction), word));
}

void merge_own_lora(OfficialWeights& weights, const std::string& subject) {
  const std::string lora = describe_lora(weights.weights);
  auto adapters = take_lora(weights.weights, subject);
  adapters.process.reset();  // the identity of the whole file says it
  weights = merge_lora(std::move(weights), adapters, 1, subject).weights;
  weights.notes.push_back("merged into the weights: " + lora);
}

}  // namespace pixart::convert
