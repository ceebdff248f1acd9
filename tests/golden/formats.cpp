// Golden kinds safetensors and pth, and the decoding entries of image_transform.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "golden.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/safetensors.h"
#include "pixart/formats/tensor_file.h"
#include "pth.h"

namespace pixart::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using pixart::testing::golden_cases;
using pixart::testing::GoldenCase;
using ::testing::HasSubstr;

// Reading a hostile file may not cost more than this. The smallest bomb among the cases asks for 64 MiB at
// once.
constexpr double kLongestRefusalSeconds = 5;
constexpr uint64_t kLargestRefusalBytes = uint64_t{48} << 20;

// Runs `read`, which must throw a UserError that names the file, quickly and without taking much memory.
template <class Read>
void expect_refused(const GoldenCase& c, const fs::path& path, Read read) {
  const uint64_t memory_before = peak_memory_bytes();
  const double start = monotonic_seconds();
  try {
    read(path);
    ADD_FAILURE() << c.kind << "/" << c.name << " was accepted: " << c.config().value("reason", "");
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path.filename().string())) << c.name;
  } catch (const std::exception& error) {
    ADD_FAILURE() << c.kind << "/" << c.name << " is refused with another error: " << error.what();
  }
  EXPECT_LT(monotonic_seconds() - start, kLongestRefusalSeconds) << c.name;
  EXPECT_LT(peak_memory_bytes() - memory_before, kLargestRefusalBytes) << c.name;
}

std::string_view raw_bytes(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

void expect_same_file(const GoldenCase& c, const fs::path& path) {
  const auto& want = c.config().at("tensors");
  const auto header = read_safetensors_header(path);
  const TensorFile got = load_safetensors(path);
  const std::map<std::string, std::string> metadata = c.config().at("metadata");
  EXPECT_EQ(got.metadata, metadata) << c.name;
  EXPECT_EQ(got.tensors.size(), want.size()) << c.name;
  for (const auto& [name, entry] : want.items()) {
    ASSERT_TRUE(got.tensors.count(name)) << c.name << ": no tensor '" << name << "'";
    const at::Tensor& tensor = got.tensors.at(name);
    EXPECT_EQ(header.tensors.at(name).dtype, entry.at("dtype").get<std::string>()) << c.name << " " << name;
    EXPECT_EQ(tensor.sizes().vec(), entry.at("shape").get<std::vector<int64_t>>()) << c.name << " " << name;
    EXPECT_EQ(sha256(raw_bytes(tensor)), entry.at("sha256").get<std::string>()) << c.name << " " << name;
  }
}

TEST(Safetensors, ReadsWhatItMustAndRefusesTheRest) {
  for (const auto& c : golden_cases("safetensors")) {
    const fs::path path = c.folder / c.config().at("file").get<std::string>();
    const std::string expect = c.config().at("expect");
    if (expect == "refuse") {
      expect_refused(c, path, [](const fs::path& file) { load_safetensors(file); });
      continue;
    }
    ASSERT_TRUE(expect == "accept" || expect == "accept_or_refuse") << c.name << ": " << expect;
    try {
      expect_same_file(c, path);
    } catch (const UserError& error) {
      EXPECT_EQ(expect, "accept_or_refuse") << c.name << " is refused: " << error.what();
    }
  }
}

// Leaves of a pickled value, each with its path joined as in case.json.
struct Leaves {
  std::map<std::string, at::Tensor> tensors;
  json values = json::object();
};

std::string key_text(const PickleValue& key) {
  if (const auto* text = std::get_if<std::string>(&key.value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&key.value)) return std::to_string(*number);
  ADD_FAILURE() << "a key that is neither text nor an integer";
  return "?";
}

void collect(const PickleValue& value, const std::string& path, Leaves& leaves) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + " | " + key; };
  if (const auto* list = std::get_if<std::shared_ptr<PickleList>>(&value.value)) {
    for (size_t i = 0; i < (*list)->size(); ++i) collect((**list)[i], below(std::to_string(i)), leaves);
  } else if (const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value)) {
    for (const auto& [key, item] : **dict) collect(item, below(key_text(key)), leaves);
  } else if (const auto* tensor = std::get_if<PickleTensor>(&value.value)) {
    EXPECT_TRUE(leaves.tensors.emplace(path, tensor->read()).second) << path << " twice";
  } else if (const auto* opaque = std::get_if<Opaque>(&value.value)) {
    leaves.values[path] = opaque->global;
  } else if (const auto* flag = std::get_if<bool>(&value.value)) {
    leaves.values[path] = *flag;
  } else if (const auto* number = std::get_if<int64_t>(&value.value)) {
    leaves.values[path] = *number;
  } else if (const auto* real = std::get_if<double>(&value.value)) {
    leaves.values[path] = *real;
  } else if (const auto* text = std::get_if<std::string>(&value.value)) {
    leaves.values[path] = *text;
  } else {
    leaves.values[path] = nullptr;
  }
}

// NaN equals NaN and -0 differs from 0: the bytes are compared.
void expect_same_tensors(const GoldenCase& c, const std::map<std::string, at::Tensor>& got) {
  const auto want = load_safetensors(c.folder / "expected.safetensors").tensors;
  EXPECT_EQ(got.size(), c.config().at("entries").size()) << c.name;
  for (const auto& entry : c.config().at("entries")) {
    const std::string name = entry.at("name");
    ASSERT_TRUE(got.count(name)) << c.name << ": no tensor '" << name << "'";
    const at::Tensor tensor = got.at(name).contiguous();
    EXPECT_EQ(tensor.sizes().vec(), entry.at("shape").get<std::vector<int64_t>>()) << c.name << " " << name;
    ASSERT_EQ(tensor.scalar_type(), want.at(name).scalar_type()) << c.name << " " << name;
    EXPECT_TRUE(raw_bytes(tensor) == raw_bytes(want.at(name))) << c.name << " " << name;
  }
}

void expect_same_pickle(const GoldenCase& c, const fs::path& path) {
  const PickleValue value = open_pth(path);
  Leaves leaves;
  collect(value, "", leaves);
  expect_same_tensors(c, leaves.tensors);
  EXPECT_EQ(leaves.values, c.config().at("values")) << c.name;
  for (const auto& group : c.config().at("shared")) {
    const auto& first = leaves.tensors.at(group.at(0).get<std::string>());
    for (const auto& name : group) {
      EXPECT_TRUE(leaves.tensors.at(name.get<std::string>()).is_alias_of(first)) << c.name << " " << name;
    }
  }
  std::map<std::string, at::Tensor> flattened;
  for (const auto& [name, tensor] : flatten_tensors(value, " | ")) flattened.emplace(name, tensor.read());
  expect_same_tensors(c, flattened);
}

TEST(Pth, ReadsWhatItMustAndRefusesTheRest) {
  for (const auto& c : golden_cases("pth")) {
    const fs::path path = c.folder / c.config().at("file").get<std::string>();
    const std::string expect = c.config().at("expect");
    if (expect == "refuse") {
      const fs::path marker = c.config().at("marker").get<std::string>();
      fs::remove(marker);
      expect_refused(c, path, [](const fs::path& file) {
        Leaves leaves;
        collect(open_pth(file), "", leaves);
      });
      expect_refused(c, path, [](const fs::path& file) { load_weights(file); });
      EXPECT_FALSE(fs::exists(marker)) << c.name << " ran its code";
      continue;
    }
    ASSERT_TRUE(expect == "ok" || expect == "ok_or_refuse") << c.name << ": " << expect;
    try {
      expect_same_pickle(c, path);
    } catch (const UserError& error) {
      EXPECT_EQ(expect, "ok_or_refuse") << c.name << " is refused: " << error.what();
    }
  }
}

at::Tensor pixels(const Image& image) {
  return at::from_blob(const_cast<uint8_t*>(image.rgb.data()), {image.height, image.width, 3}, at::kByte)
      .clone();
}

// Such a reference without `out_on_white` drops alpha, we composite on white: only the size is compared.
bool has_alpha(const std::string& bytes, const std::string& pillow_mode) {
  return pillow_mode.ends_with("A") || bytes.find("tRNS") != std::string::npos;
}

struct Difference {
  double largest, mean;
};

Difference difference(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor all = (got.to(at::kDouble) - want.to(at::kDouble)).abs();
  return {all.max().item<double>(), all.mean().item<double>()};
}

void expect_decoded(const GoldenCase& c, const json& entry) {
  const std::string file = entry.at("file"), what = c.name + " " + file;
  const std::string bytes = read_file(c.folder / file);
  const at::Tensor got = pixels(decode_image(bytes, file));
  const char* out = entry.contains("out_on_white")    ? "out_on_white"
                    : entry.contains("out_oriented")  ? "out_oriented"
                    : entry.contains("out_high_byte") ? "out_high_byte"
                                                      : "out";
  const at::Tensor want = c.tensor(entry.at(out));
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  const bool drops_alpha = !entry.contains("out_on_white") && has_alpha(bytes, entry.at("pillow_mode"));
  if (drops_alpha) return;
  const auto& tolerance = c.json.at("tolerance").at(entry.at("exact").get<bool>() ? "exact" : "not_exact");
  const auto [largest, mean] = difference(got, want);
  EXPECT_LE(largest, tolerance.at("uint8_max").get<double>()) << what;
  EXPECT_LE(mean, tolerance.value("uint8_mean", 0.0)) << what;
}

TEST(ImageFile, DecodesAsPillow) {
  size_t files = 0;
  for (const auto& c : golden_cases("image_transform")) {
    if (!c.config().contains("files")) continue;
    for (const auto& entry : c.config().at("files")) {
      expect_decoded(c, entry);
      ++files;
    }
  }
  EXPECT_GT(files, 0u);
}

}  // namespace
}  // namespace pixart::formats
