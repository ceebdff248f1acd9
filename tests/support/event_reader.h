// Reads TensorBoard's event files in tests, and is as strict as can be: what it does not know fails. It
// shares no code with the writer.
#pragma once
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pixart::testing {

struct ReadImage {
  int64_t height = 0, width = 0, colorspace = 0;
  std::string png;
};

struct ReadEvent {
  double wall_time = 0;
  int64_t step = 0;
  std::string file_version;
  std::optional<int64_t> session_status;
  std::map<std::string, float> scalars;
  std::map<std::string, ReadImage> images;
  std::map<std::string, std::string> texts;
};

// Bit by bit.
inline uint32_t slow_crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) {
    crc ^= uint8_t(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
  }
  return crc ^ 0xFFFFFFFFu;
}

class ProtobufReader {
 public:
  struct Field {
    int number = 0, wire = 0;
    uint64_t integer = 0;    // of varints and fixed numbers
    std::string_view bytes;  // of the rest
  };

  static std::vector<Field> fields(std::string_view message) {
    std::vector<Field> found;
    ProtobufReader reader{message};
    while (!reader.rest_.empty()) found.push_back(reader.next());
    return found;
  }

 private:
  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  Field next() {
    const uint64_t key = varint();
    Field field{.number = int(key >> 3), .wire = int(key & 7), .integer = 0, .bytes = {}};
    if (field.wire == 0) field.integer = varint();
    if (field.wire == 1) field.integer = fixed(8);
    if (field.wire == 2) field.bytes = take(varint());
    if (field.wire == 5) field.integer = fixed(4);
    if (field.wire == 3 || field.wire == 4 || field.wire > 5) throw std::runtime_error("wire type");
    return field;
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) throw std::runtime_error("a field is longer than its message");
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = uint8_t(take(1)[0]);
      value |= uint64_t(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw std::runtime_error("varint of more than ten bytes");
  }
  uint64_t fixed(int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; ++i) value |= uint64_t(uint8_t(take(1)[0])) << (8 * i);
    return value;
  }
  std::string_view rest_;
};

inline ReadImage read_image(std::string_view message) {
  ReadImage image;
  for (const auto& field : ProtobufReader::fields(message)) {
    if (field.number == 1) image.height = int64_t(field.integer);
    if (field.number == 2) image.width = int64_t(field.integer);
    if (field.number == 3) image.colorspace = int64_t(field.integer);
    if (field.number == 4) image.png = field.bytes;
  }
  return image;
}

// The one string of a tensor of shape [1].
inline std::string read_string_tensor(std::string_view message) {
  std::string text;
  for (const auto& field : ProtobufReader::fields(message)) {
    if (field.number == 1 && field.integer != 7) throw std::runtime_error("a tensor that is not of strings");
    if (field.number == 2) {
      const auto dimensions = ProtobufReader::fields(field.bytes);
      if (dimensions.size() != 1 || ProtobufReader::fields(dimensions[0].bytes).at(0).integer != 1)
        throw std::runtime_error("shape");
    }
    if (field.number == 8) text = field.bytes;
  }
  return text;
}

inline std::string plugin_of(std::string_view metadata) {
  return std::string(ProtobufReader::fields(ProtobufReader::fields(metadata).at(0).bytes).at(0).bytes);
}

inline void read_value(std::string_view message, ReadEvent& event) {
  std::string tag, plugin;
  std::optional<std::string> text;
  for (const auto& field : ProtobufReader::fields(message)) {
    if (field.number == 1) tag = field.bytes;
    if (field.number == 2) event.scalars[tag] = std::bit_cast<float>(uint32_t(field.integer));
    if (field.number == 4) event.images[tag] = read_image(field.bytes);
    if (field.number == 8) text = read_string_tensor(field.bytes);
    if (field.number == 9) plugin = plugin_of(field.bytes);
  }
  if (tag.empty()) throw std::runtime_error("a value without a tag");
  if (text.has_value() != (plugin == "text")) throw std::runtime_error("text without the text plugin");
  if (text) event.texts[tag] = *text;
}

inline ReadEvent read_event(std::string_view message) {
  ReadEvent event;
  for (const auto& field : ProtobufReader::fields(message)) {
    switch (field.number) {
      case 1:
        event.wall_time = std::bit_cast<double>(field.integer);
        break;
      case 2:
        event.step = int64_t(field.integer);
        break;
      case 3:
        event.file_version = field.bytes;
        break;
      case 5:
        for (const auto& value : ProtobufReader::fields(field.bytes)) read_value(value.bytes, event);
        break;
      case 7:
        event.session_status = int64_t(ProtobufReader::fields(field.bytes).at(0).integer);
        break;
      default:
        throw std::runtime_error("field " + std::to_string(field.number) + " of an event");
    }
  }
  return event;
}

// All events of a file; throws at a wrong checksum or a torn end.
inline std::vector<ReadEvent> read_events(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  const auto need = [&](size_t at, size_t size) {
    if (at > bytes.size() || size > bytes.size() - at) throw std::runtime_error("torn record");
  };
  const auto number = [&](size_t at, size_t size) {
    need(at, size);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= uint64_t(uint8_t(bytes[at + i])) << (8 * i);
    return value;
  };
  const auto check = [&](size_t at, size_t size) {
    const uint32_t crc = slow_crc32c(std::string_view(bytes).substr(at, size));
    const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
    if (number(at + size, 4) != masked) throw std::runtime_error("checksum");
  };
  std::vector<ReadEvent> events;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = size_t(number(at, 8));
    check(at, 8);
    need(at + 12, length);
    check(at + 12, length);
    events.push_back(read_event(std::string_view(bytes).substr(at + 12, length)));
    at += 12 + length + 4;
  }
  return events;
}

// The files of a folder in the order in which TensorBoard reads them.
inline std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::map<std::string, std::filesystem::path> sorted;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    sorted[entry.path().filename()] = entry.path();
  std::vector<std::filesystem::path> files;
  for (auto& [name, path] : sorted) files.push_back(path);
  return files;
}

}  // namespace pixart::testing
