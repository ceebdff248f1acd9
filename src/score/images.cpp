#include "images.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "inception.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/data/recognise.h"
#include "pixart/formats/hash.h"
#include "resize.h"
#include "sampling.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kGrid = "grid.png";

// What is wrong with an image; "" if nothing is.
std::string fault_of_image(const data::Dataset& dataset, int64_t row) {
  try {
    dataset.image(row);
    return "";
  } catch (const data::BadSample& bad) {
    return bad.what();
  }
}

// Rows that the listing rejects for another reason than their captions. If there are any, the others are read, too,
// so that one message names all bad images.
void require_good_listing(const data::Dataset& dataset, const fs::path& path) {
  std::vector<std::string> faults(size_t(dataset.size()));
  for (const auto& rejection : dataset.rejected())
    if (!data::concerns_caption(rejection.reason))
      faults[size_t(rejection.row)] = fmt::format("{}: {}", rejection.key, rejection.detail);
  const auto is_bad = [](const std::string& fault) { return !fault.empty(); };
  if (std::none_of(faults.begin(), faults.end(), is_bad)) return;
  log::info("{} has images that cannot be scored: all of its images are read, to name each such one",
            path.string());
  for_each_in_parallel(dataset.size(), [&](int64_t row) {
    auto& fault = faults[size_t(row)];
    if (fault.empty()) fault = fault_of_image(dataset, row);
  });
  Problems problems;
  for (const auto& fault : faults)
    if (is_bad(fault)) problems.add(fault);
  problems.throw_if_any(path.string() + " has images that cannot be scored");
}

// The prompt that pixart sample writes into its images.
std::string drawn_prompt(const fs::path& image) {
  if (image.extension() != ".png") return {};
  const auto text = formats::read_png_text(image);
  const auto found = text.find("prompt");
  return found == text.end() ? std::string() : found->second;
}

// Other images than those of the record have no settings that could be told.
void add_sampling(const ordered_json& record, const fs::path& folder, const std::vector<std::string>& images,
                  ImageList& list) {
  if (const auto fault = fault_of_images(record, folder, images); !fault.empty())
    list.note =
        fmt::format("The card does not say how the images of {} were drawn: {}.", folder.string(), fault);
  else
    list.sampling = sampling_of(record).dump();
}

}  // namespace

ImageList open_images(const fs::path& path) {
  const std::shared_ptr<const data::Dataset> dataset = data::open_image_set(path);
  require_good_listing(*dataset, path);
  const ordered_json record = fs::is_directory(path) ? sample_record(path) : ordered_json();
  const bool is_drawn = record.is_object(), has_grid = is_drawn && !record.contains("suite");
  ImageList list{.name = path.string()};
  auto rows = std::make_shared<std::vector<int64_t>>();
  std::vector<std::string> names;
  for (int64_t row = 0; row < dataset->size(); ++row) {
    const std::string name = is_drawn ? dataset->key(row) : "";
    if (has_grid && name == kGrid) continue;
    rows->push_back(row);
    names.push_back(name);
  }
  if (rows->empty()) throw UserError(fmt::format("{} holds no images.", path.string()));
  list.size = int64_t(rows->size());
  if (is_drawn) add_sampling(record, path, names, list);
  list.fingerprint = dataset->fingerprint();
  list.read = [dataset, rows](int64_t i) { return dataset->image((*rows)[size_t(i)]); };
  list.prompt = [dataset, rows, path, is_drawn](int64_t i) {
    const auto row = dataset->row((*rows)[size_t(i)]);
    if (!row.captions.empty() && !row.captions.front().text.empty()) return row.captions.front().text;
    return is_drawn ? drawn_prompt(path / row.key) : std::string();
  };
  return list;
}

ImageList images_of(const at::Tensor& images, const std::string& name) {
  PIXART_CHECK(images.dim() == 4 && images.size(3) == 3 && images.scalar_type() == at::kByte);
  ImageList list{.name = name, .size = images.size(0)};
  list.read = [images](int64_t i) {
    Image image(int(images.size(1)), int(images.size(2)));
    std::copy_n(images.const_data_ptr<uint8_t>() + size_t(i) * image.rgb.size(), image.rgb.size(),
                image.rgb.data());
    return image;
  };
  return list;
}

std::string image_hash(const Image& image) {
  formats::Sha256 hash;
  hash.add(fmt::format("{} {}\n", image.height, image.width));
  hash.add({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()});
  return hash.hex();
}

std::string hash_of_set(std::vector<std::string> hashes) {
  std::sort(hashes.begin(), hashes.end());
  formats::Sha256 hash;
  for (const auto& own : hashes) hash.add(own);
  return hash.hex();
}

ImageList first_images(ImageList list, int64_t count) {
  if (count > 0) list.size = std::min(list.size, count);
  return list;
}

namespace {

struct ReadImage {
  std::vector<float> input = {};  // of the network; empty if the image is bad
  std::string hash = {};
  std::string problem = {};
};

using Prepare = std::function<std::vector<float>(const Image&)>;

ReadImage read(const ImageList& list, int64_t i, const Prepare& prepare) {
  try {
    const Image image = list.read(i);
    return {.input = prepare(image), .hash = image_hash(image)};
  } catch (const data::BadSample& bad) {
    return {.problem = bad.what()};
  }
}

at::Tensor stacked(const std::vector<std::vector<float>>& inputs, int64_t side) {
  const int64_t count = int64_t(inputs.size());
  at::Tensor batch = at::empty({count, 3, side, side}, at::kFloat);
  auto* to = batch.data_ptr<float>();
  for (const auto& input : inputs) to = std::copy(input.begin(), input.end(), to);
  return batch;
}

}  // namespace

std::string for_each_batch(const ImageList& list, int side, const Prepare& prepare, int64_t batch_size,
                           const std::function<void(const at::Tensor& batch)>& use) {
  int64_t begun = 0;
  Prefetch<int64_t, ReadImage> images(
      physical_cores(), 2 * batch_size,
      [&] { return begun < list.size ? std::optional<int64_t>(begun++) : std::nullopt; },
      [&](const int64_t& i) { return read(list, i, prepare); });
  Progress progress("score the images of " + list.name, list.size, "image");
  Problems problems;
  std::vector<std::string> hashes;
  std::vector<std::vector<float>> inputs;
  for (int64_t done = 1; auto image = images.next(); ++done) {
    if (!image->problem.empty()) problems.add(image->problem);
    hashes.push_back(std::move(image->hash));
    inputs.push_back(std::move(image->input));
    const bool is_full = int64_t(inputs.size()) == batch_size || done == list.size;
    if (is_full && problems.empty()) use(stacked(inputs, side));  // after a bad image only to find the others
    if (is_full) inputs.clear();
    progress.update(done);
  }
  problems.throw_if_any(list.name + " has images that cannot be read");
  return hash_of_set(std::move(hashes));
}

std::string for_each_batch(const ImageList& list, ResizeRule rule, int64_t batch_size,
                           const std::function<void(const at::Tensor& batch)>& use) {
  const auto prepare = [rule](const Image& image) {
    auto input = resized(image, rule);
    scale_for_network(input, rule);
    return input;
  };
  return for_each_batch(list, kInceptionSide, prepare, batch_size, use);
}

}  // namespace pixart::score
