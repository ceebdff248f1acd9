#include "index_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "pixart/base/claim.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/hash.h"
#include "rejection_json.h"
#include "remote_file.h"

namespace pixart::data {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// A server says when a file changes by its validator, of which there is a hash in place of a time.
InputStamp remote_stamp(const fs::path& path, const RemoteFile& file) {
  const auto& [bytes, validator] = file.identity();
  const auto hash = std::stoull(formats::sha256(validator).substr(0, 15), nullptr, 16);
  return {.path = path.string(), .bytes = int64_t(bytes), .modified_ns = int64_t(hash)};
}

}  // namespace

InputStamp stamp_of(const fs::path& path) {
  if (const auto remote = remote_file(path)) return remote_stamp(path, *remote);
  InputStamp stamp{.path = path.string()};
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return stamp;
  const auto nanoseconds = [](const timespec& time) {
    return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  stamp.bytes = S_ISDIR(status.st_mode) ? 0 : int64_t(status.st_size);
  stamp.modified_ns = nanoseconds(status.st_mtim);
  stamp.changed_ns = nanoseconds(status.st_ctim);
  return stamp;
}

namespace {

constexpr std::array<char, 8> kMagic = {'P', 'I', 'X', 'I', 'N', 'D', 'E', 'X'};
constexpr uint64_t kVersion = 1;

// The file begins with it. Rows, captions, keys and texts follow, and the tables as CBOR.
struct Head {
  std::array<char, 8> magic = kMagic;
  uint64_t version = kVersion;
  uint64_t rows = 0, captions = 0;           // numbers; the row in which captions end counts
  uint64_t keys = 0, texts = 0, tables = 0;  // bytes
  uint32_t body_checksum = 0, checksum = 0;  // of all that follows; of the fields above
};
static_assert(sizeof(Head) == 64);

template <class Value>
std::string_view bytes_of(std::span<const Value> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

uint32_t checksum_of(const Head& head) {
  return formats::crc32c({reinterpret_cast<const char*>(&head), offsetof(Head, checksum)});
}

// --- tables

json json_of(const IndexTables& tables) {
  json files = json::array(), ways = json::array(), kinds = json::array();
  for (const auto& file : tables.files)
    files.push_back({file.path.string(), uint8_t(file.form), file.ending, file.skip});
  for (const auto& way : tables.ways) ways.push_back({uint8_t(way.as), way.file, way.kind, way.field});
  for (const auto& kind : tables.kinds) kinds.push_back({kind.name, kind.weight});
  return {{"type", tables.type},
          {"files", files},
          {"ways", ways},
          {"kinds", kinds},
          {"rejected", json::parse(rejections_text(tables.rejected))},
          {"shares_weight", tables.shares_weight},
          {"latents", tables.latents},
          {"features", tables.features},
          {"classes", tables.class_names},
          {"fingerprint", tables.fingerprint}};
}

IndexTables tables_of(const json& value) {
  IndexTables tables{.type = value.at("type"),
                     .shares_weight = value.at("shares_weight"),
                     .latents = value.at("latents"),
                     .features = value.at("features"),
                     .class_names = value.at("classes"),
                     .fingerprint = value.at("fingerprint")};
  for (const auto& file : value.at("files"))
    tables.files.push_back({.path = file.at(0).get<std::string>(),
                            .form = FilePattern::Form(file.at(1).get<uint8_t>()),
                            .ending = file.at(2),
                            .skip = file.at(3)});
  for (const auto& way : value.at("ways"))
    tables.ways.push_back(
        {.as = ReadAs(way.at(0).get<uint8_t>()), .file = way.at(1), .kind = way.at(2), .field = way.at(3)});
  for (const auto& kind : value.at("kinds")) tables.kinds.push_back({kind.at(0), kind.at(1)});
  tables.rejected = parse_rejections(value.at("rejected").dump());
  return tables;
}

json json_of(const IndexIdentity& identity) {
  json inputs = json::array();
  for (const auto& input : identity.inputs)
    inputs.push_back({input.path, input.bytes, input.modified_ns, input.changed_ns});
  return {{"config", identity.config}, {"files", identity.files}, {"inputs", inputs}};
}

IndexIdentity identity_of(const json& value) {
  IndexIdentity identity{.config = value.at("config"), .files = value.at("files")};
  for (const auto& input : value.at("inputs"))
    identity.inputs.push_back(
        {.path = input.at(0), .bytes = input.at(1), .modified_ns = input.at(2), .changed_ns = input.at(3)});
  return identity;
}

// --- the file

class Mapping {
 public:
  // No bytes if the file cannot be mapped.
  explicit Mapping(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return;
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && status.st_size > 0) {
      data_ = ::mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
      size_ = data_ == MAP_FAILED ? 0 : size_t(status.st_size);
    }
    ::close(descriptor);
  }
  ~Mapping() {
    if (size_ > 0) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Takes values from the front.
template <class Value>
std::span<const Value> take(std::string_view& bytes, uint64_t count) {
  const std::span values(reinterpret_cast<const Value*>(bytes.data()), size_t(count));
  bytes.remove_prefix(values.size_bytes());
  return values;
}

std::string_view take_bytes(std::string_view& bytes, uint64_t count) {
  const auto taken = bytes.substr(0, count);
  bytes.remove_prefix(count);
  return taken;
}

// Why the bytes are not an index; "" if they are, but for their checksum.
std::string fault_of_form(std::string_view bytes, Head& head) {
  if (bytes.empty()) return "it does not exist";
  if (bytes.size() < sizeof head) return "it is damaged";
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.magic != kMagic) return "it is not an index";
  if (head.checksum != checksum_of(head)) return "it is damaged";
  if (head.version != kVersion) return "it is of another version of pixart";
  const uint64_t body = head.rows * sizeof(IndexedRow) + head.captions * sizeof(CaptionPlace) + head.keys +
                        head.texts + head.tables;
  return head.rows == 0 || bytes.size() - sizeof head != body ? "it is damaged" : "";
}

std::string fault_of(std::string_view bytes, Head& head) {
  const std::string fault = fault_of_form(bytes, head);
  if (!fault.empty()) return fault;
  return formats::crc32c(bytes.substr(sizeof head)) == head.body_checksum ? "" : "it is damaged";
}

}  // namespace

void write_index(const fs::path& path, const SourceIndex& index, const IndexIdentity& identity) {
  const auto table_bytes =
      json::to_cbor({{"tables", json_of(index.tables)}, {"identity", json_of(identity)}});
  const std::string_view parts[] = {bytes_of(index.rows),
                                    bytes_of(index.captions),
                                    index.keys,
                                    index.texts,
                                    {reinterpret_cast<const char*>(table_bytes.data()), table_bytes.size()}};
  Head head{.rows = index.rows.size(),
            .captions = index.captions.size(),
            .keys = index.keys.size(),
            .texts = index.texts.size(),
            .tables = table_bytes.size()};
  for (const auto part : parts) head.body_checksum = formats::crc32c(part, head.body_checksum);
  head.checksum = checksum_of(head);
  AtomicFile file(path);
  file.write({reinterpret_cast<const char*>(&head), sizeof head});
  constexpr size_t kPiece = size_t{16} << 20;
  for (auto part : parts)
    while (!part.empty()) {
      file.write(take_bytes(part, std::min(kPiece, part.size())));
      give_sign_of_life();
    }
  file.commit();
}

std::optional<std::string> config_of_index(const fs::path& path) {
  const Mapping mapping(path);
  Head head;
  if (!fault_of_form(mapping.bytes(), head).empty()) return std::nullopt;
  const auto tables =
      json::from_cbor(mapping.bytes().substr(mapping.bytes().size() - head.tables), true, false);
  const auto config = json::json_pointer("/identity/config");
  if (!tables.is_object() || !tables.contains(config) || !tables[config].is_string()) return std::nullopt;
  return tables[config].get<std::string>();
}

std::optional<IndexFile> map_index(const fs::path& path, std::string& why) {
  const auto mapping = std::make_shared<const Mapping>(path);
  Head head;
  why = fault_of(mapping->bytes(), head);
  if (!why.empty()) return std::nullopt;
  std::string_view rest = mapping->bytes().substr(sizeof head);
  IndexFile file;
  file.index.rows = take<IndexedRow>(rest, head.rows);
  file.index.captions = take<CaptionPlace>(rest, head.captions);
  file.index.keys = take_bytes(rest, head.keys);
  file.index.texts = take_bytes(rest, head.texts);
  file.index.memory = mapping;
  file.id = fmt::format("{:08x}{:08x}", head.checksum, head.body_checksum);
  try {
    const auto tables = json::from_cbor(rest);
    file.index.tables = tables_of(tables.at("tables"));
    file.identity = identity_of(tables.at("identity"));
  } catch (const std::exception& error) {
    why = fmt::format("it is damaged ({})", error.what());
    return std::nullopt;
  }
  return file;
}

// --- notes

namespace {

std::optional<CaptionFingerprints> read_fingerprints(const fs::path& path, const std::string& id) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const auto value = parse_json(read_file(path, 1 << 16));
  const auto text = [&](const char* name) {
    return value.is_object() && value.contains(name) && value[name].is_string()
               ? value[name].get<std::string>()
               : std::string();
  };
  if (text("index") != id || text("now").empty() || text("former").empty()) return std::nullopt;
  return CaptionFingerprints{text("now"), text("former"), !text("has_lines").empty()};
}

// Nothing in a folder without write permission, where an index is used all the same.
std::optional<Claim> claim_unless_read_only(const fs::path& lock, const fs::path& made,
                                            const SharedWork& shared) {
  try {
    return Claim::wait_for(lock, made, shared);
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kStorage) throw;
    log::warning("the fingerprints of captions are computed again at the next start: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace

CaptionFingerprints IndexNotes::fingerprints(const std::function<CaptionFingerprints()>& compute) const {
  if (index.empty()) return compute();
  const fs::path path = index.string() + ".captions", lock = index.string() + ".lock";
  if (const auto known = read_fingerprints(path, id)) return *known;
  auto claim = claim_unless_read_only(lock, path, shared);
  if (!claim) return compute();
  if (const auto known = read_fingerprints(path, id)) return *known;
  const SignsOfLife signs(*claim);
  const auto computed = compute();
  const json text = {{"index", id},
                     {"now", computed.now},
                     {"former", computed.former},
                     {"has_lines", computed.has_lines ? "yes" : ""}};
  try {
    write_file_atomically(path, text.dump() + "\n");
  } catch (const UserError& error) {
    log::warning("the fingerprints of captions are computed again at the next start: {}", error.what());
  }
  return computed;
}

void IndexNotes::mark_changed() const {
  if (index.empty() || is_changed()) return;
  try {
    write_file_atomically(index.string() + ".changed", id + "\n");
  } catch (const UserError& error) {
    log::warning("remove {}: it is not true any more, and {}", index.string(), error.what());
  }
}

bool IndexNotes::is_changed() const {
  const fs::path path = index.string() + ".changed";
  std::error_code error;
  return fs::is_regular_file(path, error) && read_file(path, 1 << 16) == id + "\n";
}

}  // namespace pixart::data
