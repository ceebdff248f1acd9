// The re-parameterisation of weights from a file; the formulas are in reparameterize.cpp.
#include <ATen/ATen.h>

#include <memory>

#include "pixart/base/error.h"
#include "pixart/convert/convert.h"
#include "pixart_layout.h"

namespace pixart::convert {

namespace {

// Both models with their memory; the new weights are read from here.
struct Models {
  nn::StateDict source, target;
  models::Dit dit;
  models::PixArt pixart;
  Models(const models::DitConfig& from, const models::PixArtConfig& to)
      : source({.dtype = at::kFloat, .device = at::kCPU, .zeros = false}),
        dit(nn::Scope(source), from),
        pixart(nn::Scope(target), to) {}
};

formats::Weights weights_of(std::shared_ptr<Models> models) {
  formats::Weights weights{.kind = "memory"};
  for (const auto& item : models->target.items())
    weights.tensors.emplace(item.name,
                            formats::WeightInfo{item.tensor.scalar_type(), item.tensor.sizes().vec()});
  weights.read = [models](const std::string& name) { return models->target.get(name).contiguous(); };
  return weights;
}

}  // namespace

Reparameterized reparameterize(const OfficialWeights& dit, const ReparameterizeRequest& request) {
  const auto* from = std::get_if<models::DitConfig>(&dit.identity.architecture);
  if (from == nullptr) {
    throw UserError(fmt::format("only a DiT can be re-parameterised; {} is: {}.",
                                dit.weights.files.empty() ? "the source" : dit.weights.files[0].string(),
                                layout_name(dit.identity.layout)));
  }
  models::PixArtConfig to = request.target;
  const int64_t input_size = to.input_size;
  static_cast<models::TransformerShape&>(to) = *from;
  if (input_size > 0) to.input_size = input_size;
  if (to.position_scale == 0) to.position_scale = published_position_scale(to);
  if (to.micro_conditions && to.hidden_size % 3 != 0)
    throw UserError(
        fmt::format("micro-conditions need a width divisible by 3, the DiT's is {}.", to.hidden_size));
  if (to.input_size % to.patch_size != 0)
    throw UserError(fmt::format("the DiT's patch of {} does not divide a latent side of {}.", to.patch_size,
                                to.input_size));

  at::NoGradGuard no_grad;
  const auto models = std::make_shared<Models>(*from, to);
  nn::adopt_state(models->source, formats::read_all(dit.weights), "the DiT");
  Reparameterized result;
  result.plan = reparameterize(models->source, *from, models->target, to, request.options);
  result.proof = prove_reparameterization(models->dit, models->pixart, models->target);
  result.weights.weights = weights_of(models);
  result.weights.weights.files = dit.weights.files;
  Identity& identity = result.weights.identity;
  identity.layout = Layout::kPixArt;
  identity.architecture = to;
  identity.process = dit.identity.process;
  result.weights.license = dit.license;
  return result;
}

}  // namespace pixart::convert
