#include "bad_step.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

// JSON has no numbers that are not finite, so these become text.
ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(fmt::format("{}", value));
}

ordered_json report(const BadStepPlace& place, const BadStep& bad, const nn::StateDict& model) {
  ordered_json micro_batches = ordered_json::array();
  for (size_t i = 0; i < bad.batches.size(); ++i)
    micro_batches.push_back({{"positions", bad.batches[i].plan.positions},
                             {"rows", bad.batches[i].plan.rows},
                             {"bucket", bad.batches[i].plan.bucket},
                             {"loss_share", number(bad.losses[i])}});
  const auto names = nn::trainable_names(model);
  ordered_json gradients = ordered_json::array();
  for (const size_t index : bad.bad_gradients) gradients.push_back(names.at(index));
  return {{"stage", place.stage},
          {"step", bad.result.step},
          {"seed", place.seed},
          {"rank", place.rank},
          {"fault", bad.result.fault},
          {"loss", number(bad.result.loss)},
          {"gradient_norm", number(bad.result.gradient_norm)},
          {"gradients_not_finite", gradients},
          {"micro_batches", micro_batches}};
}

std::vector<formats::NamedTensor> tensors_of(const std::vector<data::Batch>& batches) {
  std::vector<formats::NamedTensor> tensors;
  for (size_t i = 0; i < batches.size(); ++i) {
    const data::Batch& batch = batches[i];
    for (const auto& [name, tensor] :
         {std::pair{"image", batch.image}, std::pair{"mean", batch.mean}, std::pair{"log_var", batch.log_var},
          std::pair{"label", batch.label}, std::pair{"caption", batch.caption}, std::pair{"mask", batch.mask},
          std::pair{"tokens", batch.tokens}, std::pair{"image_size", batch.image_size},
          std::pair{"control", batch.control}, std::pair{"aspect_ratio", batch.aspect_ratio}})
      if (tensor.defined()) tensors.push_back({fmt::format("{}.{}", i, name), tensor});
  }
  return tensors;
}

std::vector<formats::NamedTensor> weights_of(const nn::StateDict& model) {
  std::vector<formats::NamedTensor> tensors;
  for (const auto& item : model.items()) tensors.push_back({item.name, item.tensor.detach()});
  return tensors;
}

}  // namespace

void write_bad_step(const fs::path& folder, const BadStepPlace& place, const BadStep& bad,
                    const nn::StateDict& model) {
  const fs::path own = folder / fmt::format("{}-step-{:08d}", place.stage, bad.result.step);
  const std::string rank = fmt::format("rank-{}", place.rank);
  try {
    const bool is_first = !fs::exists(folder);
    create_folders(own);
    formats::save_safetensors(own / (rank + ".safetensors"), tensors_of(bad.batches));
    write_file_atomically(own / (rank + ".json"), report(place, bad, model).dump(1) + "\n");
    if (is_first && place.rank == 0) formats::save_safetensors(own / "model.safetensors", weights_of(model));
    log::warning("the inputs of the step are saved in {}", own.string());
  } catch (const std::exception& error) {
    log::error("cannot save the inputs of step {}: {}", bad.result.step, error.what());
  }
}

}  // namespace pixart::train
