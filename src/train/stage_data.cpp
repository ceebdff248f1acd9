#include "pixart/train/stage_data.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <numeric>

#include "damaged_features.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/random.h"
#include "pixart/data/aspect_bucket.h"

namespace pixart::train {

std::pair<size_t, int64_t> part_of(const StageParts& parts, int64_t row) {
  const auto after =
      std::upper_bound(parts.begin(), parts.end(), row,
                       [](int64_t value, const StagePart& part) { return value < part.first_row; });
  PIXART_CHECK(after != parts.begin(), "row {}", row);
  const auto part = std::prev(after);
  return {size_t(part - parts.begin()), row - part->first_row};
}

std::shared_ptr<const data::SampleOrder> make_order(const StageParts& parts,
                                                    const std::vector<data::Ledger>& ledgers,
                                                    const StageConfig& stage, uint64_t seed) {
  std::vector<data::OrderPart> result;
  data::OrderBuckets buckets{.bucket_of = {}, .run = stage.batch_size};
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t rows = parts[i].dataset->size();
    data::OrderPart part{.rows = rows, .passes = parts[i].passes};
    for (const auto& rejection : ledgers[i].rejected) part.rejected.push_back(rejection.row);
    if (stage.aspect_buckets) {
      std::vector<uint8_t> own(static_cast<size_t>(rows));
      for (int64_t row = 0; row < rows; ++row)
        if (!std::binary_search(part.rejected.begin(), part.rejected.end(), row))
          own[size_t(row)] = parts[i].latents->item(row).bucket;
      buckets.bucket_of.insert(buckets.bucket_of.end(), own.begin(), own.end());
    }
    result.push_back(std::move(part));
  }
  return std::make_shared<data::SampleOrder>(seed, std::move(result), std::move(buckets));
}

std::map<std::string, std::string> data_fingerprints(const StageParts& parts,
                                                     const std::vector<data::Ledger>& ledgers) {
  std::map<std::string, std::string> result;
  for (size_t i = 0; i < parts.size(); ++i)
    result[parts[i].source->name] = fmt::format("{}, {} rows, {} rejected", parts[i].dataset->fingerprint(),
                                                parts[i].dataset->size(), ledgers[i].rejected.size());
  return result;
}

data::Ledger ledger_of(const StagePart& part, const std::filesystem::path& quarantine_file) {
  const auto found = part.latents ? part.latents->rejected() : std::vector<data::Rejection>();
  auto ledger = data::make_ledger(part.source->name, *part.dataset, found);
  create_folders(quarantine_file.parent_path());
  data::write_quarantine(quarantine_file, ledger);
  data::check_budget(*part.source, ledger);
  return ledger;
}

size_t draw_caption(const std::vector<data::Caption>& captions, uint64_t seed, int64_t position) {
  if (captions.size() < 2) return 0;
  double total = 0;
  for (const auto& caption : captions) total += caption.weight;
  double left = uniform({seed, uint64_t(position), Purpose::kCaption}) * total;
  for (size_t i = 0; i + 1 < captions.size(); ++i) {
    left -= captions[i].weight;
    if (left < 0) return i;
  }
  return captions.size() - 1;
}

namespace {

// Asks for large pages where a buffer is large: what is copied into them misses the page table less often.
void prefer_large_pages(const at::Tensor& tensor) {
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data_ptr()), end = begin + tensor.nbytes();
  const uintptr_t first = (begin + kPage - 1) / kPage * kPage, last = end / kPage * kPage;
  if (first < last) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

at::Tensor buffer(at::IntArrayRef shape, at::ScalarType dtype, bool pinned) {
  const at::Tensor result = at::empty(shape, at::TensorOptions().dtype(dtype).pinned_memory(pinned));
  if (!pinned) prefer_large_pages(result);
  return result;
}

struct Place {
  size_t part;
  int64_t row;
  int64_t position;
};

bool is_same(const data::LatentSet::Shape& a, const data::LatentSet::Shape& b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

// Room for the samples, of the first one's shape.
void make_room(const FeatureReader& reader, const std::vector<Place>& places, Batch& batch) {
  const auto count = int64_t(places.size());
  const auto& part = reader.parts[places[0].part];
  const auto [channels, height, width] = part.latents->item(places[0].row).latent;
  batch.mean = buffer({count, channels, height, width}, at::kFloat, reader.pinned);
  batch.log_var = buffer({count, channels, height, width}, at::kFloat, reader.pinned);
  if (!reader.with_captions) return;
  const auto& captions = *part.captions;
  batch.caption =
      buffer({count, reader.max_tokens, captions.channels()}, captions.read_dtype(), reader.pinned);
  batch.mask = buffer({count, reader.max_tokens}, at::kLong, reader.pinned);
}

void read_latents(const FeatureReader& reader, const Place& place, int64_t i, Batch& batch) {
  const auto& part = reader.parts[place.part];
  const auto [channels, height, width] = part.latents->item(place.row).latent;
  if (!is_same({batch.mean.size(1), batch.mean.size(2), batch.mean.size(3)}, {channels, height, width}))
    throw UserError(fmt::format(
        "source {}: row {} has latents of another shape ({} x {} x {}) than those it is trained with: "
        "the sources of a mix need the same autoencoder, or the index is damaged (`pixart extract "
        "RUN.yaml --mend` makes it again).",
        part.source->name, place.row, channels, height, width));
  const bool mirrored =
      reader.mirror && uniform({reader.seed, uint64_t(place.position), Purpose::kFlip}) < 0.5;
  const int64_t size = channels * height * width;
  part.latents->read(place.row, mirrored, batch.mean.data_ptr<float>() + i * size,
                     batch.log_var.data_ptr<float>() + i * size);
}

void read_caption(const FeatureReader& reader, const Place& place, int64_t i, Batch& batch) {
  const auto& part = reader.parts[place.part];
  const int64_t tokens = reader.max_tokens, channels = batch.caption.size(2);
  const auto token_bytes = size_t(channels) * batch.caption.element_size();
  const auto [ids, num_ids] = part.captions->ids(place.row);
  PIXART_CHECK(num_ids > 0, "row {} has no caption", place.row);
  const size_t chosen =
      num_ids == 1 ? 0 : draw_caption(part.dataset->row(place.row).captions, reader.seed, place.position);
  PIXART_CHECK(int64_t(chosen) < num_ids, "caption {} of {}", chosen, num_ids);
  const int32_t id = ids[chosen];
  const int64_t length = part.captions->num_tokens(id);
  PIXART_CHECK(length <= tokens && part.captions->channels() == channels &&
                   part.captions->read_dtype() == batch.caption.scalar_type(),
               "caption {} of part {} has {} tokens of {} channels", id, place.part, length,
               part.captions->channels());
  part.captions->read_padded(id, tokens,
                             static_cast<char*>(batch.caption.data_ptr()) + size_t(i * tokens) * token_bytes);
  auto* mask = batch.mask.data_ptr<int64_t>() + i * tokens;
  for (int64_t t = 0; t < tokens; ++t) mask[t] = t < length ? 1 : 0;
}

// Reads sample i of the batch; where its row is damaged, `place` becomes that of another one.
void read_sample(const FeatureReader& reader, Place& place, int64_t i, Batch& batch) {
  const auto& part = reader.parts[place.part];
  const int64_t planned = place.row;
  for (int64_t attempt = 0;; ++attempt) {
    try {
      read_latents(reader, place, i, batch);
      if (reader.with_captions) read_caption(reader, place, i, batch);
      return;
    } catch (const data::DamagedRecord& record) {
      if (!reader.damaged) throw;
      reader.damaged->add(place.part, place.row, record);
    }
    const auto item = part.latents->item(planned);
    place.row =
        reader.damaged->stand_in(place.part, planned, place.position, reader.seed, attempt, [&](int64_t row) {
          const auto other = part.latents->item(row);
          return is_same(other.latent, item.latent) && other.bucket == item.bucket;
        });
  }
}

}  // namespace

Batch FeatureReader::operator()(const data::MicroBatch& plan) const {
  Batch batch{.plan = plan};
  batch.read_seconds.resize(parts.size());
  std::vector<Place> places;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const auto [part, row] = part_of(parts, plan.rows[i]);
    places.push_back({part, row, plan.positions[i]});
  }
  const auto count = int64_t(places.size());
  make_room(*this, places, batch);
  for (int64_t i = 0; i < count; ++i) {
    auto& place = places[size_t(i)];
    const double begun = monotonic_seconds();
    read_sample(*this, place, i, batch);
    batch.read_seconds[place.part] += monotonic_seconds() - begun;
    batch.plan.rows[size_t(i)] = parts[place.part].first_row + place.row;
  }
  if (with_labels) {
    batch.label = buffer({count}, at::kLong, pinned);
    for (int64_t i = 0; i < count; ++i)
      batch.label.data_ptr<int64_t>()[i] =
          parts[places[size_t(i)].part].dataset->label(places[size_t(i)].row);
  }
  if (with_sizes) {
    batch.image_size = buffer({count, 2}, at::kFloat, pinned);
    batch.aspect_ratio = buffer({count, 1}, at::kFloat, pinned);
    const double ratio = resolution > 0 ? data::aspect_buckets(int(resolution))[plan.bucket].ratio : 1.0;
    for (int64_t i = 0; i < count; ++i) {
      const auto item = parts[places[size_t(i)].part].latents->item(places[size_t(i)].row);
      batch.image_size.data_ptr<float>()[2 * i] = float(item.height);
      batch.image_size.data_ptr<float>()[2 * i + 1] = float(item.width);
      batch.aspect_ratio.data_ptr<float>()[i] = float(ratio);
    }
  }
  return batch;
}

}  // namespace pixart::train
