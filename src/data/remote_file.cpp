#include "remote_file.h"

#include <algorithm>
#include <unordered_map>

#include "file_ending.h"
#include "pixart/base/bytes.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/secret.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

using FaultKind = HttpFault::Kind;

// A server that cannot be reached at the start may have a wrong address: this is said soon.
constexpr double kFirstPatience = 30;
constexpr uint64_t kLargestKept = 64 << 10;  // a caption or label that is read on the way through a shard

ExitCode code_of(const HttpFault& fault) {
  const bool may_go_on = fault.kind() == FaultKind::kStopped || fault.kind() == FaultKind::kComeLater;
  return may_go_on ? ExitCode::kRequeue : ExitCode::kStorage;
}

// Whether the config names a file that cannot be used, and not the server is at fault.
bool is_of_config(const HttpFault& fault) {
  return fault.kind() == FaultKind::kMissing || fault.kind() == FaultKind::kRefused ||
         fault.kind() == FaultKind::kUnusable;
}

[[noreturn]] void throw_as_machine_fault(const HttpFault& fault) {
  throw MachineFault::lasting(fault.what(), code_of(fault));
}

uint64_t piece_bytes(const FileIdentity& file, uint64_t piece) {
  return std::min(kPieceBytes, file.bytes - piece * kPieceBytes);
}

}  // namespace

RemoteFile::RemoteFile(WebRequest request, const HttpLimits& limits, std::shared_ptr<RemoteCache> cache)
    : request_(std::move(request)), limits_(limits), cache_(std::move(cache)) {}

const FileIdentity& RemoteFile::identity() const {
  const std::scoped_lock lock(mutex_);
  if (identity_) return *identity_;
  try {
    const double patience = std::min(limits_.patience_seconds, kFirstPatience);
    const FileIdentity found = ask_identity(request_, http_limits(patience));
    if (found.validator.empty())
      log::warning(
          "{}: the server says neither an ETag nor when the file was modified, so a change that keeps its "
          "size is noticed only where a part is fetched again.",
          name());
    shard_ = shard_of(found);
    cache_->use(shard_);
    identity_ = found;
  } catch (const HttpFault& fault) {
    if (is_of_config(fault)) throw;
    throw_as_machine_fault(fault);
  }
  return *identity_;
}

// Without a validator nothing says that a stored piece is of the file as it is now: only this process uses it.
CachedShard RemoteFile::shard_of(const FileIdentity& identity) const {
  const std::string version = identity.validator.empty() ? random_bytes(16) : identity.validator;
  const std::string text = fmt::format("{}\n{}\n{}", name(), identity.bytes, version);
  return {.id = formats::sha256(text).substr(0, 32), .name = name(), .bytes = identity.bytes};
}

uint64_t RemoteFile::bytes() const {
  try {
    return identity().bytes;
  } catch (const HttpFault& fault) {
    throw_as_machine_fault(fault);
  }
}

void RemoteFile::read(char* to, uint64_t count, uint64_t offset) const {
  try {
    const uint64_t end = offset + count;
    PIXART_CHECK(end <= bytes(), "{}: byte {} of {}", name(), end, bytes());
    for (uint64_t part; count > 0; to += part, offset += part, count -= part) {
      const uint64_t piece = offset / kPieceBytes;
      part = std::min(count, (piece + 1) * kPieceBytes - offset);
      read_part(piece, to, part, offset);
    }
  } catch (const HttpFault& fault) {
    throw_as_machine_fault(fault);
  }
}

// A part of one piece.
void RemoteFile::read_part(uint64_t piece, char* to, uint64_t count, uint64_t offset) const {
  const uint64_t inside = offset - piece * kPieceBytes;
  if (cache_->read(shard_, piece, inside, count, to)) return;
  const bool is_whole = count == piece_bytes(*identity_, piece);
  if (!is_whole && !cache_->has_room()) return fetch(to, count, offset);
  const std::scoped_lock lock(cache_->fetching(shard_, piece));
  if (cache_->read(shard_, piece, inside, count, to)) return;  // another thread has fetched it meanwhile
  const std::string content = fetch_piece(piece);
  content.copy(to, count, inside);
}

void RemoteFile::fetch(char* to, uint64_t count, uint64_t offset) const {
  get_range(request_, *identity_, offset, count, to, limits_);
}

std::string RemoteFile::fetch_piece(uint64_t piece) const {
  std::string content(piece_bytes(*identity_, piece), '\0');
  fetch(content.data(), content.size(), piece * kPieceBytes);
  compare_with_earlier(piece, content);
  cache_->keep(shard_, piece, content);
  return content;
}

void RemoteFile::compare_with_earlier(uint64_t piece, const std::string& content) const {
  const uint32_t sum = formats::crc32c(content);
  const std::scoped_lock lock(mutex_);
  if (sums_.size() <= piece) sums_.resize(piece + 1);
  if (sums_[piece] && *sums_[piece] != sum)
    throw HttpFault(
        FaultKind::kChanged,
        fmt::format("{}: the file was changed while it was in use: the bytes from {} on differ from those "
                    "that were read before. Data that changes cannot be read again as it was; put the old "
                    "file back, or start a new run.",
                    name(), piece * kPieceBytes));
  sums_[piece] = sum;
}

namespace {

struct Table {
  std::mutex mutex;
  std::unordered_map<std::string, std::shared_ptr<const RemoteFile>> files;
};

Table& table() {
  static Table table;
  return table;
}

// Reads front to back with one piece in memory.
formats::ReadAt in_pieces(std::shared_ptr<const RemoteFile> file) {
  struct Window {
    uint64_t begin = 0;
    std::string bytes = {};
  };
  const auto window = std::make_shared<Window>();
  return [file = std::move(file), window](char* to, uint64_t count, uint64_t offset) {
    for (uint64_t part; count > 0; to += part, offset += part, count -= part) {
      if (offset < window->begin || offset >= window->begin + window->bytes.size()) {
        const uint64_t piece = offset / kPieceBytes;
        std::string bytes(piece_bytes(file->identity(), piece), '\0');
        file->read(bytes.data(), bytes.size(), piece * kPieceBytes);
        *window = {.begin = piece * kPieceBytes, .bytes = std::move(bytes)};
      }
      part = window->bytes.copy(to, count, offset - window->begin);
    }
  };
}

bool is_small_text(const formats::TarEntry& entry) {
  return entry.bytes <= kLargestKept && !has_image_ending(entry.name);
}

}  // namespace

fs::path add_remote_file(const std::string& address, std::shared_ptr<RemoteCache> cache) {
  WebRequest request = request_for(address);
  const std::string name = request.shown;
  const std::scoped_lock lock(table().mutex);
  auto& file = table().files[name];
  if (file == nullptr || file->request().url != request.url)
    file = std::make_shared<RemoteFile>(std::move(request), http_limits(), std::move(cache));
  return name;
}

std::shared_ptr<const RemoteFile> remote_file(const fs::path& path) {
  if (!is_address(path.native())) return nullptr;
  const std::scoped_lock lock(table().mutex);
  const auto found = table().files.find(path.native());
  return found == table().files.end() ? nullptr : found->second;
}

formats::TarFile open_archive(const fs::path& path) {
  const auto file = remote_file(path);
  if (file == nullptr) return formats::TarFile(path);
  return formats::TarFile(path, file->identity().bytes, in_pieces(file), is_small_text);
}

}  // namespace pixart::data
