#include "pixart/formats/wandb_file.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/bytes.h"
#include "pixart/base/version.h"
#include "protobuf_message.h"

namespace pixart::formats {

namespace {

// Field numbers of wandb_internal.proto.
namespace record_field {
constexpr int kNumber = 1, kHistory = 2, kSummary = 3, kFiles = 6, kMetric = 12, kRun = 17, kExit = 18,
              kHeader = 21;
}
namespace header {
constexpr int kVersion = 1, kProducer = 1, kOldestReader = 2;
}
namespace run_field {
constexpr int kId = 1, kProject = 3, kConfig = 4, kDisplayName = 8, kHost = 13, kStart = 17;
constexpr int kUpdate = 1, kSeconds = 1, kNanoseconds = 2;
}  // namespace run_field
namespace files {
constexpr int kFile = 1, kPath = 1, kPolicy = 2, kAtTheEnd = 1;
}
namespace metric {
constexpr int kPrefix = 2, kAxis = 4, kOptions = 6, kHasStep = 1, kIsDefined = 3;
}
namespace history_field {
constexpr int kItem = 1, kStep = 2, kNumber = 1;
}
namespace item {
constexpr int kKey = 1, kPath = 2, kJson = 16;
}
namespace exit_field {
constexpr int kCode = 1, kSeconds = 2;
}

constexpr uint64_t kBlock = 32768, kChunkHead = 7;
enum ChunkType { kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t crc32_of(int type, std::string_view bytes) {
  const auto first = Bytef(type);
  const uLong crc = ::crc32(::crc32(0, nullptr, 0), &first, 1);
  return uint32_t(::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), uInt(bytes.size())));
}

ProtobufMessage start_time(double seconds) {
  const double whole = std::floor(seconds);
  ProtobufMessage time;
  time.integer(run_field::kSeconds, int64_t(whole));
  if (seconds > whole) time.integer(run_field::kNanoseconds, int64_t((seconds - whole) * 1e9));
  return time;
}

// Names of values are paths of one part, because a dot in them does not lead into another value.
ProtobufMessage value_item(const std::pair<std::string, std::string>& value) {
  ProtobufMessage one;
  one.text(item::kPath, value.first).text(item::kJson, value.second);
  return one;
}

ProtobufMessage run_message(const WandbRun& run) {
  ProtobufMessage config, message;
  for (const auto& [name, json] : run.config) {
    ProtobufMessage one;
    one.text(item::kKey, name).text(item::kJson, json);
    config.message(run_field::kUpdate, one);
  }
  message.text(run_field::kId, run.id)
      .text(run_field::kProject, run.project)
      .message(run_field::kConfig, config)
      .text(run_field::kDisplayName, run.display_name);
  if (!run.host.empty()) message.text(run_field::kHost, run.host);
  return message.message(run_field::kStart, start_time(run.begin));
}

}  // namespace

WandbFile::WandbFile(const std::filesystem::path& path, const WandbRun& run) : file_(path) {
  constexpr uint16_t kMagic = 0xBEE1;
  constexpr const char* kOldestReader = "0.40.0";  // as W&B itself writes
  waiting_ = ":W&B" + little_endian(kMagic, 2) + std::string(1, '\0');
  size_ = waiting_.size();
  ProtobufMessage version, head;
  version.text(header::kProducer, producer()).text(header::kOldestReader, kOldestReader);
  record(record_field::kHeader, head.message(header::kVersion, version));
  record(record_field::kRun, run_message(run));
}

void WandbFile::file(const std::string& name) {
  ProtobufMessage one, all;
  one.text(files::kPath, name).integer(files::kPolicy, files::kAtTheEnd);
  record(record_field::kFiles, all.message(files::kFile, one));
}

void WandbFile::axis(const std::string& prefix, const std::string& axis) {
  ProtobufMessage options, message;
  options.integer(metric::kHasStep, 1).integer(metric::kIsDefined, 1);
  message.text(metric::kPrefix, prefix + "*").text(metric::kAxis, axis).message(metric::kOptions, options);
  record(record_field::kMetric, message);
}

void WandbFile::history(int64_t step, const WandbItems& items) {
  ProtobufMessage number, message;
  for (const auto& value : items) message.message(history_field::kItem, value_item(value));
  message.message(history_field::kItem, value_item({"_step", std::to_string(step)}));
  number.integer(history_field::kNumber, step);
  record(record_field::kHistory, message.message(history_field::kStep, number));
}

void WandbFile::summary(const WandbItems& items) {
  ProtobufMessage message;
  for (const auto& value : items) message.message(run_field::kUpdate, value_item(value));
  record(record_field::kSummary, message);
}

void WandbFile::exit(int code, int64_t seconds) {
  ProtobufMessage message;
  record(record_field::kExit,
         message.integer(exit_field::kCode, code).integer(exit_field::kSeconds, seconds));
  file_.write(waiting_);
  file_.close();
}

void WandbFile::record(int field, const ProtobufMessage& content) {
  ProtobufMessage message;
  append(message.integer(record_field::kNumber, ++number_).message(field, content).encoded());
  constexpr size_t kMostWaiting = size_t{1} << 20;
  if (waiting_.size() < kMostWaiting) return;
  file_.write(waiting_);
  waiting_.clear();
}

void WandbFile::append(std::string_view bytes) {
  for (bool is_first = true;; is_first = false) {
    uint64_t room = kBlock - size_ % kBlock;
    if (room < kChunkHead) {  // too little for a head: zeros to the end of the block
      waiting_.append(room, '\0');
      size_ += room;
      room = kBlock;
    }
    const size_t taken = std::min<size_t>(bytes.size(), room - kChunkHead);
    const bool is_last = taken == bytes.size();
    chunk(is_first ? (is_last ? kWhole : kFirst) : (is_last ? kLast : kMiddle), bytes.substr(0, taken));
    if (is_last) return;
    bytes.remove_prefix(taken);
  }
}

void WandbFile::chunk(int type, std::string_view bytes) {
  waiting_ += little_endian(crc32_of(type, bytes), 4) + little_endian(bytes.size(), 2);
  waiting_ += char(type);
  waiting_ += bytes;
  size_ += kChunkHead + bytes.size();
}

}  // namespace pixart::formats
