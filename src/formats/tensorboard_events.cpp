#include "pixart/formats/tensorboard_events.h"

#include <algorithm>
#include <charconv>

#include "pixart/base/bytes.h"
#include "pixart/base/clock.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/formats/crc32c.h"
#include "protobuf_message.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

// Field numbers of event.proto, summary.proto, tensor.proto and tensor_shape.proto.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr int kStatus = 1, kStart = 1;
}
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kImage = 4, kTensor = 8, kMetadata = 9;
}
namespace image_field {
constexpr int kHeight = 1, kWidth = 2, kColorspace = 3, kEncoded = 4, kRgb = 3;
}
namespace metadata {
constexpr int kPluginData = 1, kPluginName = 1;
}
namespace tensor {
constexpr int kType = 1, kShape = 2, kStringValue = 8, kString = 7, kDimension = 2, kSize = 1;
}

constexpr std::string_view kPrefix = "events.out.tfevents.";

// A masked checksum stays useful for bytes that themselves contain checksums (TensorFlow's crc32c.h).
std::string masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return little_endian(uint32_t((crc >> 15 | crc << 17) + 0xA282EAD8u), 4);
}

std::string record(const ProtobufMessage& message) {
  const std::string& bytes = message.encoded();
  const std::string length = little_endian(bytes.size(), 8);
  return length + masked_crc(length) + bytes + masked_crc(bytes);
}

ProtobufMessage event_of(int64_t step) {
  ProtobufMessage message;
  message.real64(event::kWallTime, unix_seconds());
  if (step != 0) message.integer(event::kStep, step);
  return message;
}

// The seconds in the name of an event file; 0 for another name.
int64_t seconds_of(const std::string& name) {
  int64_t seconds = 0;
  if (name.starts_with(kPrefix))
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), seconds);
  return seconds;
}

// TensorBoard sorts by name. The file of a restart must come last, even within a second or with the clock set
// back.
fs::path new_file(const fs::path& folder) {
  create_folders(folder);
  int64_t seconds = int64_t(unix_seconds());
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    seconds = std::max(seconds, seconds_of(at->path().filename()) + 1);
  return folder / fmt::format("{}{:010}.{}.{}.0", kPrefix, seconds, host_name(), process_id());
}

}  // namespace

TensorBoardEvents::TensorBoardEvents(const fs::path& folder) : file_(new_file(folder)) {
  try {
    file_.write(record(event_of(0).bytes(event::kFileVersion, "brain.Event:2")));
  } catch (const UserError&) {
    delete_file(file_.path());  // without it the file is of no use
    throw;
  }
}

void TensorBoardEvents::restart_at(int64_t step) {
  ProtobufMessage log;
  log.integer(session_log::kStatus, session_log::kStart);
  file_.write(record(event_of(step).message(event::kSessionLog, log)));
}

void TensorBoardEvents::scalars(int64_t step, const std::map<std::string, double>& values) {
  ProtobufMessage all;
  for (const auto& [tag, number] : values) {
    ProtobufMessage one;
    one.text(value::kTag, tag).real32(value::kSimpleValue, float(number));
    all.message(summary::kValue, one);
  }
  file_.write(record(event_of(step).message(event::kSummary, all)));
}

void TensorBoardEvents::image(int64_t step, const std::string& tag, std::string_view png) {
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
  constexpr size_t kWidthAt = 16, kHeightAt = 20, kHeaderEnd = 24;  // in the chunk IHDR, which is the first
  if (!png.starts_with(kSignature) || png.size() < kHeaderEnd)
    throw UserError(fmt::format("the image '{}' for TensorBoard is not a PNG file.", tag));
  ProtobufMessage image, one, all;
  image.integer(image_field::kHeight, int64_t(from_big_endian(png, kHeightAt, 4)))
      .integer(image_field::kWidth, int64_t(from_big_endian(png, kWidthAt, 4)))
      .integer(image_field::kColorspace, image_field::kRgb)
      .bytes(image_field::kEncoded, png);
  one.text(value::kTag, tag).message(value::kImage, image);
  all.message(summary::kValue, one);
  file_.write(record(event_of(step).message(event::kSummary, all)));
}

void TensorBoardEvents::text(int64_t step, const std::string& tag, std::string_view markdown) {
  ProtobufMessage plugin, meta, dimension, shape, strings, one, all;
  plugin.bytes(metadata::kPluginName, "text");
  meta.message(metadata::kPluginData, plugin);
  dimension.integer(tensor::kSize, 1);
  shape.message(tensor::kDimension, dimension);
  strings.integer(tensor::kType, tensor::kString)
      .message(tensor::kShape, shape)
      .text(tensor::kStringValue, markdown);
  one.text(value::kTag, tag).message(value::kTensor, strings).message(value::kMetadata, meta);
  all.message(summary::kValue, one);
  file_.write(record(event_of(step).message(event::kSummary, all)));
}

}  // namespace pixart::formats
