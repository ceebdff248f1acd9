// Sets of images that are scored: any source of the program, or the images of an .npz file.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/formats/image_file.h"
#include "pixart/score/score.h"

namespace pixart::score {

struct ImageList {
  std::string name = {};  // for messages
  int64_t size = 0;
  std::function<Image(int64_t)> read = {};  // from any thread; throws what says which image is bad, and why
  std::function<std::string(int64_t)> prompt =
      {};                     // what an image should show; "" if nothing says it; may be empty
  std::string sampling = {};  // JSON object: how pixart sample drew them; "" for other images
  std::string note = {};      // a sentence: why `sampling` is left out although there is a record of it
  // Changes when other images are listed, or files of other sizes; "" of an array.
  std::string fingerprint = {};
};

// SHA-256 of the size and the pixels of an image, and of a set of such hashes in any order.
std::string image_hash(const Image& image);
std::string hash_of_set(std::vector<std::string> hashes);

// A folder (with its sub-folders), shards, MNIST-style files, a table. Of a folder of pixart sample grid.png is
// left out. Throws UserError that lists every image that the listing rejects, and with these also all others that
// cannot be read.
ImageList open_images(const std::filesystem::path& path);

ImageList images_of(const at::Tensor& images, const std::string& name);  // [N, height, width, 3] bytes

ImageList first_images(ImageList list, int64_t count);  // 0: all

// Reads all images on several threads, prepares each there, and gives the network's input for them in batches, in
// order: [B, 3, side, side] float32. Returns the SHA-256 of the set: of the sorted hashes of the pixels of each
// image, so it depends neither on the order nor on names or kinds of files. Throws one UserError that lists all
// images that cannot be read. `prepare` gives planes [3, side, side].
std::string for_each_batch(const ImageList& list, int side,
                           const std::function<std::vector<float>(const Image&)>& prepare, int64_t batch_size,
                           const std::function<void(const at::Tensor& batch)>& use);

// The same for the network of FID.
std::string for_each_batch(const ImageList& list, ResizeRule rule, int64_t batch_size,
                           const std::function<void(const at::Tensor& batch)>& use);

}  // namespace pixart::score
