#include "pixart/features/image_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "image_memory.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/data/transform.h"
#include "pixart/run/stopped.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPreloadLimit = int64_t{2} << 30;  // bytes of decoded images kept in memory
constexpr int64_t kPreloadPiece = 1024;              // images between two updates of the progress bar

}  // namespace

struct ImageReader::State {
  StageParts parts;
  int64_t resolution = 0, rows = 0;
  uint64_t seed = 0;
  bool writes_quarantine = true;
  std::vector<std::unique_ptr<data::Quarantine>> quarantines;  // one per part
  std::vector<std::unique_ptr<data::QuarantineFile>> files;    // one per part
  std::unique_ptr<ImageMemories> memories;
  at::Tensor pixels;               // [rows, 3, R, R] uint8, if preloaded
  std::vector<uint8_t> is_usable;  // by row, if preloaded
  std::shared_ptr<const data::ExcludedRows> excluded;

  int64_t image_bytes() const { return 3 * resolution * resolution; }

  // Decodes an image into `out`. Returns false if it cannot be used.
  bool decode(size_t part, int64_t row, uint8_t* out) const {
    if (!uses_row(parts[part], row)) return false;
    try {
      const auto& listed = parts[part].dataset->rejected();
      const auto known =
          std::lower_bound(listed.begin(), listed.end(), row,
                           [](const data::Rejection& r, int64_t value) { return r.row < value; });
      if (known != listed.end() && known->row == row && !data::concerns_caption(known->reason)) return false;
      if (quarantines[part]->has(row)) return false;
      const int side = int(resolution);
      const auto image = parts[part].dataset->reduced_image(row, data::decode_side(side));
      memories->note(part, row, image.checksum);
      Image cut;
      parts[part].dataset->on_sample(row, [&] { cut = data::cover_and_crop(image, side, side); });
      data::copy_planes(cut, out);
      return true;
    } catch (const data::BadSample& bad) {
      quarantines[part]->add(bad.rejection());
      return false;
    }
  }

  bool take(int64_t row, size_t part, int64_t row_of_part, uint8_t* out) const {
    if (!pixels.defined()) return decode(part, row_of_part, out);
    if (is_usable[size_t(row)] == 0) return false;
    std::copy_n(pixels.const_data_ptr<uint8_t>() + row * image_bytes(), image_bytes(), out);
    return true;
  }

  // Reads the image, or the first usable replacement for this position. Returns the row that was read.
  int64_t read(int64_t position, int64_t row, uint8_t* out) const {
    const auto [part, own] = part_of(parts, row);
    const int64_t first = parts[part].first_row;
    int64_t candidate = own;
    for (uint64_t attempt = 0; !take(first + candidate, part, candidate, out);)
      candidate = replacement(part, position, attempt);
    return first + candidate;
  }

  // The first row from draw `attempt` on that is not excluded; the next call goes on from there.
  int64_t replacement(size_t part, int64_t position, uint64_t& attempt) const {
    constexpr uint64_t kMostDrawsOfARow = 1000;
    const int64_t rows = parts[part].dataset->size();
    const auto& selection = parts[part].dataset->selection();
    while (attempt < kMostDrawsOfARow * uint64_t(rows)) {
      const int64_t row =
          data::stand_in(seed, position, rows, selection ? &selection->drawn : nullptr, attempt++);
      if (excluded == nullptr || !excluded->has(parts[part].first_row + row, position)) return row;
    }
    throw UserError(fmt::format("source {}: every image that can be used is left out, because its steps were "
                                "bad or the stage's `exclude` names it. Look at the images.",
                                parts[part].source->name),
                    ExitCode::kNumerics);
  }
};

ImageReader::ImageReader(StageParts parts, int64_t resolution, uint64_t seed,
                         const fs::path& quarantine_folder, const ImageMemoryPlace& memory)
    : state_(std::make_unique<State>()) {
  state_->parts = std::move(parts);
  state_->resolution = resolution;
  state_->seed = seed;
  state_->writes_quarantine = memory.rank == 0;
  for (const auto& part : state_->parts) {
    state_->rows += part.dataset->size();
    state_->quarantines.push_back(std::make_unique<data::Quarantine>(*part.source, *part.dataset));
    state_->files.push_back(
        std::make_unique<data::QuarantineFile>(quarantine_folder / (part.source->name + ".jsonl")));
  }
  state_->memories = std::make_unique<ImageMemories>(state_->parts, memory);
}
ImageReader::~ImageReader() = default;

void ImageReader::leave_out(std::shared_ptr<const data::ExcludedRows> excluded) {
  state_->excluded = std::move(excluded);
}

int64_t ImageReader::size() const { return state_->rows; }

void ImageReader::preload() {
  State& s = *state_;
  if (s.pixels.defined() || s.rows * s.image_bytes() > kPreloadLimit) return;
  at::Tensor pixels = at::empty({s.rows, 3, s.resolution, s.resolution}, at::kByte);
  std::vector<uint8_t> is_usable(static_cast<size_t>(s.rows));
  Progress progress("load images", s.rows, "image");
  for (int64_t first = 0; first < s.rows; first += kPreloadPiece) {
    const int64_t count = std::min(kPreloadPiece, s.rows - first);
    for_each_in_parallel(count, [&](int64_t i) {
      const auto [part, row] = part_of(s.parts, first + i);
      is_usable[size_t(first + i)] =
          s.decode(part, row, pixels.data_ptr<uint8_t>() + (first + i) * s.image_bytes()) ? 1 : 0;
    });
    progress.update(first + count);
    if (stop_requested()) throw run::stopped("while images were loaded");
  }
  s.memories->require_same();
  s.pixels = pixels;
  s.is_usable = std::move(is_usable);
  save_checksums();
  write_quarantine();
}

void ImageReader::write_quarantine() const {
  if (!state_->writes_quarantine) return;
  for (size_t i = 0; i < state_->parts.size(); ++i)
    state_->files[i]->replace(state_->quarantines[i]->ledger());
}

void ImageReader::write_waiting() const {
  for (const auto& file : state_->files) file->write_waiting();
}

void ImageReader::save_checksums() const { state_->memories->save(); }

data::Batch ImageReader::operator()(const data::MicroBatch& plan) const {
  const State& s = *state_;
  data::Batch batch{.plan = plan};
  const auto count = int64_t(plan.rows.size());
  batch.image = at::empty({count, 3, s.resolution, s.resolution}, at::kByte);
  batch.read_seconds.resize(s.parts.size());
  for (int64_t i = 0; i < count; ++i) {
    const double begun = monotonic_seconds();
    batch.plan.rows[size_t(i)] = s.read(plan.positions[size_t(i)], plan.rows[size_t(i)],
                                        batch.image.data_ptr<uint8_t>() + i * s.image_bytes());
    batch.read_seconds[part_of(s.parts, plan.rows[size_t(i)]).first] += monotonic_seconds() - begun;
  }
  s.memories->require_same();
  return batch;
}

at::Tensor ImageReader::range(int64_t first, int64_t count) const {
  data::MicroBatch plan;
  plan.rows.resize(size_t(std::min(count, size() - first)));
  std::iota(plan.rows.begin(), plan.rows.end(), first);
  plan.positions = plan.rows;
  return (*this)(plan).image;
}

at::Tensor to_unit_range(const at::Tensor& pixels) { return pixels.to(at::kFloat).div_(127.5).sub_(1.0); }

}  // namespace pixart::features
