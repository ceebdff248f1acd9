#include "image_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr const char* kChecksums = "checksums";  // [rows] int32

std::string file_name(const std::string& source, int rank) {
  return fmt::format("{}.{}.safetensors", source, rank);
}

}  // namespace

ImageMemory::ImageMemory(fs::path folder, std::string source, int64_t rows, int rank, bool is_new)
    : file_(folder / file_name(source, rank)),
      rows_(rows),
      checksums_(std::make_unique<std::atomic<uint32_t>[]>(size_t(rows))) {
  for (int other = 0; !is_new && fs::exists(folder / file_name(source, other)); ++other) {
    const auto found = formats::load_safetensors(folder / file_name(source, other)).tensors;
    const auto tensor = found.find(kChecksums);
    if (tensor == found.end() || tensor->second.numel() != rows) continue;
    const int32_t* values = tensor->second.const_data_ptr<int32_t>();
    for (int64_t row = 0; row < rows; ++row)
      if (values[row] != 0) checksums_[size_t(row)] = uint32_t(values[row]);
  }
}

bool ImageMemory::note(int64_t row, uint32_t checksum) {
  if (checksum == 0) return true;
  uint32_t known = 0;
  if (checksums_[size_t(row)].compare_exchange_strong(known, checksum)) {
    is_changed_ = true;
    return true;
  }
  return known == checksum;
}

void ImageMemory::save() {
  if (!is_changed_.exchange(false)) return;
  at::Tensor values = at::empty({rows_}, at::kInt);
  for (int64_t row = 0; row < rows_; ++row)
    values.data_ptr<int32_t>()[row] = int32_t(checksums_[size_t(row)].load());
  try {
    create_folders(file_.parent_path());
    formats::save_safetensors(file_, {{kChecksums, values}});
  } catch (const UserError& error) {  // the training does not need it; the next save tries again
    is_changed_ = true;
    log::warning("checksums of images were not saved: {}", error.what());
  }
}

ImageMemories::ImageMemories(const StageParts& parts, const ImageMemoryPlace& place) : parts_(parts) {
  if (place.folder.empty()) return;
  std::map<std::string, std::shared_ptr<ImageMemory>> of;
  for (const auto& part : parts) {
    auto& memory = of[part.source->name];
    if (!memory)
      memory = std::make_shared<ImageMemory>(place.folder, part.source->name, part.dataset->size(),
                                             place.rank, place.is_new);
    memories_.push_back(memory);
  }
}

void ImageMemories::note(size_t part, int64_t row, uint32_t checksum) {
  if (memories_.empty() || memories_[part]->note(row, checksum)) return;
  const std::lock_guard lock(mutex_);
  replaced_.push_back(parts_[part].source->name + ": " + parts_[part].dataset->key(row));
}

void ImageMemories::require_same() const {
  const std::lock_guard lock(mutex_);
  if (replaced_.empty()) return;
  auto names = replaced_;
  std::sort(names.begin(), names.end());
  throw UserError(fmt::format(
      "{} images are not those that this stage has read before: {}. Restore them, or start a new run.",
      names.size(), name_some(names)));
}

void ImageMemories::save() {
  for (const auto& memory : memories_) memory->save();
}

}  // namespace pixart::features
