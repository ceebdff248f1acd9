// Checksums of the images that a stage has read, so that a stage that continues notices one that was replaced.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pixart/features/image_reader.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

class ImageMemory {
 public:
  // Continues what all ranks of the stage noted in `folder`/<source>.<rank>.safetensors; `is_new`: begins with nothing.
  ImageMemory(std::filesystem::path folder, std::string source, int64_t rows, int rank, bool is_new);

  // Notes the checksum of a row's image; 0 is passed over. Returns false if another one was noted before. May be
  // called from several threads.
  bool note(int64_t row, uint32_t checksum);

  // Writes this rank's file if something new was noted.
  void save();

 private:
  std::filesystem::path file_;
  int64_t rows_;
  std::unique_ptr<std::atomic<uint32_t>[]> checksums_;  // by row; 0: not read yet
  std::atomic<bool> is_changed_ = false;
};

// Those of all parts of a stage. Several threads may use it.
class ImageMemories {
 public:
  ImageMemories(const StageParts& parts, const ImageMemoryPlace& place);  // "" as folder: it notes nothing
  void note(size_t part, int64_t row, uint32_t checksum);
  void require_same() const;  // UserError that names the images that are not those of before
  void save();

 private:
  StageParts parts_;
  std::vector<std::shared_ptr<ImageMemory>> memories_;  // one per source, for each of its parts; or none
  mutable std::mutex mutex_;
  std::vector<std::string> replaced_;  // "source: key"
};

}  // namespace pixart::features
