// What the tests of T5 and the autoencoder share: a folder of their own, config.json edited key by key,
// messages.
#pragma once
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/base/error.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/nn/state_dict.h"

namespace pixart::models {

class ModelFolderTest : public ::testing::Test {
 protected:
  ModelFolderTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pixart-models-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ModelFolderTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path config() const { return folder_ / "config.json"; }

  nlohmann::json read_config() const {
    std::ifstream stream(config());
    return nlohmann::json::parse(stream);
  }

  // Replaces keys of config.json; a null removes the key.
  void edit_config(const nlohmann::json& changes) const {
    nlohmann::json json = read_config();
    for (const auto& [key, value] : changes.items()) {
      if (value.is_null())
        json.erase(key);
      else
        json[key] = value;
    }
    std::ofstream(config()) << json.dump();
  }

  std::filesystem::path folder_;
};

// The message of the UserError that `function` throws.
template <class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no UserError";
  return {};
}

inline void expect_same(const nn::StateDict& a, const nn::StateDict& b) {
  ASSERT_EQ(a.items().size(), b.items().size());
  for (const auto& item : a.items()) EXPECT_TRUE(at::equal(item.tensor, b.get(item.name))) << item.name;
}

inline std::map<std::string, at::Tensor> tensors_of(const nn::StateDict& state) {
  std::map<std::string, at::Tensor> result;
  for (const auto& item : state.items()) result.emplace(item.name, item.tensor);
  return result;
}

inline void save_tensors(const std::filesystem::path& path,
                         const std::map<std::string, at::Tensor>& tensors) {
  std::vector<formats::NamedTensor> named;
  for (const auto& [name, tensor] : tensors) named.push_back({name, tensor});
  formats::save_safetensors(path, named);
}

}  // namespace pixart::models
