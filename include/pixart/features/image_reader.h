// Micro-batches of images, for the stage that trains the autoencoder.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>

#include "pixart/data/batch.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

// Where checksums of the images are kept. An image that differs from the one that was read before ends the
// stage with a UserError.
struct ImageMemoryPlace {
  std::filesystem::path folder = {};  // "": nowhere
  int rank = 0;
  bool is_new = true;  // what is in the folder belongs to another training
};

// The images of a source as [3, R, R] uint8: in memory if they fit, else decoded when they are needed. An
// image that cannot be used goes into quarantine, and another image of the source replaces it.
class ImageReader {
 public:
  ImageReader(StageParts parts, int64_t resolution, uint64_t seed,
              const std::filesystem::path& quarantine_folder, const ImageMemoryPlace& memory = {});
  ~ImageReader();

  // These rows replace no image that cannot be used.
  void leave_out(std::shared_ptr<const data::ExcludedRows> excluded);
  void preload();  // with a progress bar
  int64_t size() const;
  data::Batch operator()(const data::MicroBatch& plan) const;  // its plan names the rows that were read
  at::Tensor first(int64_t count) const { return range(0, count); }
  at::Tensor range(int64_t first,
                   int64_t count) const;  // [count, 3, R, R] uint8, by row
  void write_quarantine() const;          // of the samples rejected so far; rank 0 only
  void write_waiting() const;             // what a disk did not take then
  void save_checksums() const;            // of the images read so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

at::Tensor to_unit_range(const at::Tensor& pixels);  // uint8 -> float32 in [-1, 1]

}  // namespace pixart::features
