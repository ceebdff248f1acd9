#include "pixart/features/feature_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "caption_buffers.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/stage_images.h"

namespace pixart::features {

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

at::Tensor buffer(at::IntArrayRef shape, at::ScalarType dtype, bool pinned) {
  return at::empty(shape, at::TensorOptions().dtype(dtype).pinned_memory(pinned));
}

// A sample of the batch: what is read, and the size of its source image.
struct Place {
  size_t part;
  int64_t row;
  int64_t position;
  int64_t height = 0, width = 0;
};

bool is_same(const data::LatentSet::Shape& a, const data::LatentSet::Shape& b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

// Allocates the batch's tensors of images, in the shape of its first sample.
void make_room_for_images(const FeatureReader& reader, const Place& first, int64_t count,
                          data::Batch& batch) {
  if (reader.images) {
    const auto [height, width] = reader.images->size(batch.plan.bucket);
    batch.image = buffer({count, 3, height, width}, at::kByte, reader.pinned);
    batch.latent_shape = reader.images->latent_shape(batch.plan.bucket);
    return;
  }
  const auto [channels, height, width] = reader.parts[first.part].latents->item(first.row).latent;
  batch.mean = buffer({count, channels, height, width}, at::kFloat, reader.pinned);
  batch.log_var = buffer({count, channels, height, width}, at::kFloat, reader.pinned);
  if (reader.parts[first.part].control)
    batch.control = buffer({count, channels, height, width}, at::kFloat, reader.pinned);
  if (const auto& teacher = reader.parts[first.part].teacher;
      teacher && reader.alignment.at_step(batch.plan.step)) {
    const auto [half, rows, columns] = teacher->item(first.row).latent;
    batch.teacher = buffer({count, 2 * half, rows, columns}, at::kFloat, reader.pinned);
  }
}

// And of captions.
CaptionBuffer make_room_for_captions(const FeatureReader& reader, const Place& first, int64_t count,
                                     data::Batch& batch) {
  if (!reader.with_captions) return {};
  batch.mask = buffer({count, reader.max_tokens}, at::kLong, reader.pinned);
  if (reader.tokenizer) {
    batch.tokens = buffer({count, reader.max_tokens}, at::kLong, reader.pinned);
    return {};
  }
  const auto& captions = *reader.parts[first.part].captions;
  auto room = reader.caption_buffers->take(count, reader.max_tokens, captions.channels(),
                                           captions.read_dtype(), reader.pinned);
  batch.caption = room.tensor;
  return room;
}

void read_image(const FeatureReader& reader, Place& place, int64_t i, data::Batch& batch) {
  const int64_t bytes = batch.image.numel() / batch.image.size(0);
  const auto [height, width] = reader.images->read(place.part, place.row, place.position, batch.plan.bucket,
                                                   batch.image.data_ptr<uint8_t>() + i * bytes);
  place.height = height, place.width = width;
}

void read_latents(const FeatureReader& reader, Place& place, int64_t i, data::Batch& batch) {
  if (reader.images) return read_image(reader, place, i, batch);
  const auto& part = reader.parts[place.part];
  const auto item = part.latents->item(place.row);
  const auto [channels, height, width] = item.latent;
  place.height = item.height, place.width = item.width;
  if (!is_same({batch.mean.size(1), batch.mean.size(2), batch.mean.size(3)}, {channels, height, width}))
    throw UserError(fmt::format(
        "source {}: row {} has latents of another shape ({} x {} x {}) than the rest of its batch: the "
        "sources of a mix need the same autoencoder, or the index is damaged (`pixart extract RUN.yaml "
        "--mend` makes it again).",
        part.source->name, place.row, channels, height, width));
  const bool mirrored =
      reader.mirror && uniform({reader.seed, uint64_t(place.position), Purpose::kFlip}) < 0.5;
  const int64_t size = channels * height * width;
  part.latents->read(place.row, mirrored, batch.mean.data_ptr<float>() + i * size,
                     batch.log_var.data_ptr<float>() + i * size);
  if (part.control) {
    std::vector<float> unused(static_cast<size_t>(size));  // the control is the mean
    part.control->read(place.row, mirrored, batch.control.data_ptr<float>() + i * size, unused.data());
  }
  if (batch.teacher.defined()) {
    const int64_t half = batch.teacher.numel() / batch.teacher.size(0) / 2;
    float* features = batch.teacher.data_ptr<float>() + 2 * i * half;
    part.teacher->read(place.row, mirrored, features, features + half);
  }
}

// The text of the caption that is drawn for the place.
std::string drawn_text(const FeatureReader& reader, const Place& place) {
  const auto& part = reader.parts[place.part];
  const auto row = part.dataset->row(place.row);
  if (row.captions.empty() && !row.caption_file.empty())
    throw UserError(
        fmt::format("source {}: {} has features of a caption ({}), but no text. Its stage needs "
                    "encode.captions: stored.",
                    part.source->name, row.key, row.caption_file.string()));
  if (row.captions.empty()) return {};  // missing_caption: empty
  return row.captions[draw_caption(row.captions, reader.seed, place.position)].text;
}

void read_tokens(const FeatureReader& reader, const Place& place, int64_t i, data::Batch& batch) {
  const auto text = reader.tokenizer->tokenize({drawn_text(reader, place)});
  batch.tokens[i].copy_(text.ids[0]);
  batch.mask[i].copy_(text.mask[0]);
}

// `used_tokens`: how many of the place's tokens may be other than zero, before and after.
void read_features(const FeatureReader& reader, const Place& place, int64_t i, data::Batch& batch,
                   int64_t& used_tokens) {
  const auto& part = reader.parts[place.part];
  const int64_t tokens = reader.max_tokens, channels = batch.caption.size(2);
  const auto token_bytes = size_t(channels) * batch.caption.element_size();
  const auto [ids, num_ids] = part.captions->ids(place.row);
  PIXART_CHECK(num_ids > 0, "row {} has no caption", place.row);
  const size_t chosen =
      num_ids == 1 ? 0 : draw_caption(part.dataset->outline(place.row).captions, reader.seed, place.position);
  PIXART_CHECK(int64_t(chosen) < num_ids, "caption {} of {}", chosen, num_ids);
  const int32_t id = ids[chosen];
  const int64_t length = part.captions->num_tokens(id);
  PIXART_CHECK(length <= tokens && part.captions->channels() == channels &&
                   part.captions->read_dtype() == batch.caption.scalar_type(),
               "caption {} of part {} has {} tokens of {} channels", id, place.part, length,
               part.captions->channels());
  auto* out = static_cast<char*>(batch.caption.data_ptr()) + size_t(i * tokens) * token_bytes;
  used_tokens = std::max(used_tokens, length);
  part.captions->read(id, out);
  std::memset(out + size_t(length) * token_bytes, 0, size_t(used_tokens - length) * token_bytes);
  used_tokens = length;
  auto* mask = batch.mask.data_ptr<int64_t>() + i * tokens;
  for (int64_t t = 0; t < tokens; ++t) mask[t] = t < length ? 1 : 0;
}

void read_caption(const FeatureReader& reader, const Place& place, int64_t i, data::Batch& batch,
                  CaptionBuffer& room) {
  if (reader.tokenizer) return read_tokens(reader, place, i, batch);
  read_features(reader, place, i, batch, room.used_tokens[size_t(i)]);
}

// Whether `row` may be read where `planned` was: it has the same shape. (Both are rows of a part.)
bool is_of_shape(const FeatureReader& reader, const StagePart& part, int64_t planned, int64_t row) {
  if (reader.images) return bucket_of(part, planned) == bucket_of(part, row);
  const auto item = part.latents->item(planned), other = part.latents->item(row);
  return is_same(other.latent, item.latent) && other.bucket == item.bucket;
}

int64_t stand_in(const FeatureReader& reader, const Place& place, int64_t planned, int64_t& passed) {
  const auto& part = reader.parts[place.part];
  return reader.damaged->stand_in(place.part, planned, place.position, reader.seed, passed, [&](int64_t row) {
    const bool is_excluded = reader.excluded && reader.excluded->has(part.first_row + row, place.position);
    return is_of_shape(reader, part, planned, row) && !is_excluded;
  });
}

// Reads sample i of the batch. If its row is damaged, `place` gets the row that replaces it.
void read_sample(const FeatureReader& reader, Place& place, int64_t i, data::Batch& batch,
                 CaptionBuffer& room) {
  const int64_t planned = place.row;
  for (int64_t passed = 0;; place.row = stand_in(reader, place, planned, passed)) {
    try {
      read_latents(reader, place, i, batch);
      if (reader.with_captions) read_caption(reader, place, i, batch, room);
      return;
    } catch (const data::DamagedRecord& record) {
      if (!reader.damaged) throw;
      reader.damaged->add(place.part, place.row, record);
    } catch (const data::BadSample& bad) {
      if (!reader.damaged) throw;
      reader.damaged->add(place.part, bad.rejection());
    }
  }
}

}  // namespace

data::Batch FeatureReader::operator()(const data::MicroBatch& plan) const {
  data::Batch batch{.plan = plan};
  batch.read_seconds.resize(parts.size());
  std::vector<Place> places;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const auto [part, row] = part_of(parts, plan.rows[i]);
    places.push_back({.part = part, .row = row, .position = plan.positions[i]});
  }
  const auto count = int64_t(places.size());
  make_room_for_images(*this, places.front(), count, batch);
  CaptionBuffer room = make_room_for_captions(*this, places.front(), count, batch);
  for (int64_t i = 0; i < count; ++i) {
    auto& place = places[size_t(i)];
    const double begun = monotonic_seconds();
    read_sample(*this, place, i, batch, room);
    batch.read_seconds[place.part] += monotonic_seconds() - begun;
    batch.plan.rows[size_t(i)] = parts[place.part].first_row + place.row;
  }
  if (images) images->require_same();
  if (batch.caption.defined()) caption_buffers->put_back(std::move(room));
  if (with_labels) {
    batch.label = buffer({count}, at::kLong, pinned);
    for (int64_t i = 0; i < count; ++i)
      batch.label.data_ptr<int64_t>()[i] =
          parts[places[size_t(i)].part].dataset->label(places[size_t(i)].row);
  }
  if (with_sizes) {
    batch.image_size = buffer({count, 2}, at::kFloat, pinned);
    batch.aspect_ratio = buffer({count, 1}, at::kFloat, pinned);
    for (int64_t i = 0; i < count; ++i) {
      const Place& place = places[size_t(i)];
      const double ratio = shapes ? shapes->at(bucket_of(parts[place.part], place.row)).ratio : 1.0;
      batch.image_size.data_ptr<float>()[2 * i] = float(place.height);
      batch.image_size.data_ptr<float>()[2 * i + 1] = float(place.width);
      batch.aspect_ratio.data_ptr<float>()[i] = float(ratio);
    }
  }
  return batch;
}

}  // namespace pixart::features
