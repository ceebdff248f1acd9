// tar archives as WebDataset uses them: an index of the members by offset, and a writer. It extracts nothing.
//
// libarchive is not used, for three reasons: it is a stream and does not give the offsets of members; it
// reads all data, while this index reads only headers (18,000 members of 318 MB: 61 ms and 16 ms); and it
// repairs what it can, while this program must report damage.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/read_at.h"

namespace pixart::formats {

struct TarEntry {
  std::string name;                // as in the archive: any bytes except NUL
  uint64_t offset = 0, bytes = 0;  // of the content in the archive
};

// A member that cannot be used (symbolic link, device, sparse file), or damage.
struct TarFault {
  uint64_t offset = 0;    // of the first affected byte
  uint64_t end = 0;       // of the next byte that can be read
  size_t before = 0;      // number of entries before it
  bool is_damage = true;  // of the archive: other members may be lost there
  std::string name = {};  // of the member, if known
  std::string reason = {};
};

struct TarIndex {
  // Regular files, in the order of the archive; folders are left out. A hard link has the place of the content of the
  // earlier member that it names.
  std::vector<TarEntry> entries;
  std::vector<TarFault> faults;  // by increasing offset
  // False: the file ends after a whole member, as a writer leaves it that was not closed.
  bool has_end_mark = true;
};

// Contents that are kept in memory while the members are listed, by the offset of the member.
using KeptMembers = std::unordered_map<uint64_t, std::string>;

// An archive in ustar, GNU or pax format: prefix field, long names, pax path and size, base-256 sizes.
// Strict: a header must have its checksum, a member must be inside the file, and nothing may follow the end
// mark, two zero blocks. A missing end mark alone is not damage. After damage, reading continues at the next
// block with the magic and checksum of a header. The members before and after the damage may then be
// incomplete or have wrong names; a sample of more than one member should use neither. Memory grows with the
// members in the file, not with a size that a header claims.
class TarFile {
 public:
  // Throws UserError if the file cannot be read, is compressed (members need offsets), or does not begin like
  // a tar archive.
  explicit TarFile(std::filesystem::path path);
  // An archive of `bytes` bytes that is read front to back while it is listed, for servers. What `keeps` chooses
  // is read on the way and kept, at most 256 MiB, so that read() of it does not go back.
  TarFile(std::filesystem::path name, uint64_t bytes, ReadAt read,
          const std::function<bool(const TarEntry&)>& keeps);
  ~TarFile();
  TarFile(TarFile&&) noexcept;
  const TarIndex& index() const { return index_; }
  uint64_t bytes() const;
  // The first `most` bytes of the entry's content. UserError if the file became shorter or the disk fails.
  std::string read(const TarEntry& entry, uint64_t most = UINT64_MAX) const;

 private:
  void list(const std::function<bool(const TarEntry&)>& keeps);
  std::unique_ptr<class InputFile> file_;
  TarIndex index_;
  KeptMembers kept_;
};

// Writes a ustar archive whose bytes depend only on names and contents (no times, no owners, mode 0644).
// Names that are too long or not ASCII get a pax header. The file appears with commit().
class TarWriter {
 public:
  explicit TarWriter(const std::filesystem::path& path) : file_(path) {}
  void add(const std::string& name,
           std::string_view content);             // name: at most 32 KiB, no NUL; content below 8 GiB
  uint64_t size() const { return file_.size(); }  // so far
  std::string commit();                           // returns the SHA-256 of the file

  static uint64_t size_of(const std::string& name, uint64_t bytes);  // bytes that add() appends
  static constexpr uint64_t kEndBytes = 1024;                        // bytes that commit() appends

 private:
  void append(std::string_view bytes);
  AtomicFile file_;
  Sha256 hash_;
};

}  // namespace pixart::formats
