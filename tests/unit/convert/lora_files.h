// Adapters in files, and what merging them makes of a small model.
#pragma once
#include <ATen/ATen.h>

#include <fstream>

#include "model_files.h"
#include "pixart/convert/lora.h"

namespace pixart::convert {

using Tensors = std::map<std::string, at::Tensor>;

class AdapterFiles : public ModelFiles {
 protected:
  void SetUp() override {
    ModelFiles::SetUp();
    save<models::PixArt>("base.safetensors", small_pixart());
  }
  std::filesystem::path write(const std::string& name, const Tensors& tensors,
                              formats::Metadata metadata = {}) const {
    std::vector<formats::NamedTensor> list;
    for (const auto& [key, tensor] : tensors) list.push_back({key, tensor});
    std::filesystem::create_directories((folder_ / name).parent_path());
    formats::save_safetensors(folder_ / name, list, std::move(metadata));
    return folder_ / name;
  }
  void write_config(const std::string& name, const std::string& json) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << json;
  }
  Tensors base() const { return formats::load_safetensors(folder_ / "base.safetensors").tensors; }
  Tensors merged(const std::filesystem::path& lora, double strength = 1) const {
    return formats::read_all(merge_lora(to_official(open_and_identify(folder_ / "base.safetensors")),
                                        read_lora(lora), strength, "it")
                                 .weights.weights);
  }
  // What the adapters add to a weight.
  at::Tensor change(const std::filesystem::path& lora, const std::string& weight, double strength = 1) const {
    return merged(lora, strength).at(weight) - base().at(weight);
  }
};

}  // namespace pixart::convert
