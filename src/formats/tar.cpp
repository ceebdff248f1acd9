#include "pixart/formats/tar.h"

#include <algorithm>

#include "input_file.h"
#include "pixart/base/machine_fault.h"
#include "tar_header.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kLargestExtension = uint64_t{64} << 10;  // bytes of a long name or a pax header
constexpr size_t kMostMembers = 10'000'000;
constexpr uint64_t kMostKept = uint64_t{256} << 20;    // bytes of the members that are kept
constexpr uint64_t kZerosChecked = uint64_t{1} << 20;  // after the end mark

bool is_zero(std::string_view bytes) { return bytes.find_first_not_of('\0') == std::string_view::npos; }

// Blocks of a file, read in pieces, so that a header and the small files after it need only one call.
class Blocks {
 public:
  explicit Blocks(const InputFile& file) : file_(file), size_(file.bytes() / kTarBlock * kTarBlock) {}
  uint64_t size() const { return size_; }  // in bytes; an incomplete last block does not count
  std::string_view at(uint64_t offset) {
    if (offset < begin_ || offset + kTarBlock > begin_ + piece_.size()) {
      begin_ = offset;
      piece_ = file_.read(std::min(kPiece, size_ - offset), offset);
    }
    return std::string_view(piece_).substr(size_t(offset - begin_), kTarBlock);
  }

 private:
  static constexpr uint64_t kPiece = uint64_t{4} << 10;
  const InputFile& file_;
  uint64_t size_, begin_ = 0;
  std::string piece_;
};

// Facts about the next member from extension headers.
struct Extension {
  bool is_open = false;
  uint64_t offset = 0;  // of the first extension header
  std::optional<std::string> long_name = {}, long_link = {};
  PaxRecords pax = {};
};

std::string_view refused_kind(char type) {
  switch (type) {
    case '2':
      return "a symbolic link";
    case '3':
    case '4':
      return "a device";
    case '6':
      return "a pipe";
    case 'S':
      return "a sparse file";
    case 'M':
      return "part of a file from another volume";
    default:
      return "not a regular file";
  }
}

class Reader {
 public:
  Reader(const InputFile& file, const std::function<bool(const TarEntry&)>& keeps)
      : file_(file), keeps_(keeps), blocks_(file) {}

  TarIndex read() {
    while (!is_done_) {
      if (at_ >= blocks_.size()) {
        end_without_mark();
        break;
      }
      try {
        step();
      } catch (const MachineFault&) {
        throw;  // nothing in the archive is damaged
      } catch (const UserError& error) {
        recover(error.what());
      }
    }
    return std::move(index_);
  }
  KeptMembers take_kept() { return std::move(kept_); }

 private:
  // Reads one header and its content.
  void step() {
    const auto block = blocks_.at(at_);
    if (is_zero(block)) return end();
    if (!is_tar_header(block, /*wants_magic=*/false))
      throw UserError("not a tar header: its checksum is wrong");
    TarHeader header = parse_tar_header(block);
    if (header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K')
      return extend(header);
    name_ = extension_.pax.path ? *extension_.pax.path : extension_.long_name.value_or(header.name);
    if (global_.path && !extension_.pax.path) name_ = *global_.path;
    header.link = extension_.pax.link ? *extension_.pax.link : extension_.long_link.value_or(header.link);
    header.bytes = extension_.pax.size.value_or(global_.size.value_or(header.bytes));
    member(header);
    extension_ = {};
    name_.clear();
  }

  void member(const TarHeader& header) {
    const uint64_t begin = extension_.is_open ? extension_.offset : at_;
    const bool is_folder = header.type == '5' || (header.type == '0' && name_.ends_with('/'));
    const bool has_no_content = is_folder || (header.type >= '1' && header.type <= '6');
    // A hard link has the size of the file that it links to.
    if (has_no_content && header.type != '1' && header.bytes > 0)
      throw UserError("a folder, link or device with content: readers do not agree where the next header is");
    uint64_t content = at_ + kTarBlock;
    if (header.type == 'S') content = skip_sparse_maps(content);
    const uint64_t bytes = has_no_content ? 0 : header.bytes;
    const uint64_t next = end_of(content, bytes);
    const bool is_file = header.type == '0' || header.type == '7';
    const bool is_sparse = extension_.pax.is_sparse || global_.is_sparse;
    if (is_file && !is_folder && !is_sparse) {
      if (name_.empty()) throw UserError("a member without a name");
      index_.entries.push_back({name_, content, bytes});
      keep(index_.entries.back());
    } else if (header.type == '1') {
      link(header.link, begin, next);
    } else if (!is_folder && header.type != 'D' && header.type != 'V') {  // lists of folders, a volume's name
      fault(begin, next,
            fmt::format("{}, which is not read", is_sparse ? "a sparse file" : refused_kind(header.type)),
            false);
    }
    at_ = next;
    if (index_.entries.size() + index_.faults.size() < kMostMembers) return;
    fault(at_, file_.bytes(), fmt::format("more than {} members", kMostMembers));
    is_done_ = true;
  }

  // A hard link has the content of an earlier member. tar writes one where two names of a folder are of one file.
  void link(const std::string& target, uint64_t begin, uint64_t end) {
    for (; num_named_ < index_.entries.size(); ++num_named_)
      by_name_[index_.entries[num_named_].name] = num_named_;
    const auto found = by_name_.find(target);
    if (found == by_name_.end() || name_.empty())
      return fault(begin, end,
                   fmt::format("a hard link to {}, which is not an earlier member", shown(target)), false);
    const TarEntry& content = index_.entries[found->second];
    index_.entries.push_back(TarEntry{name_, content.offset, content.bytes});
  }

  void keep(const TarEntry& entry) {
    if (!keeps_ || kept_bytes_ + entry.bytes > kMostKept || !keeps_(entry)) return;
    kept_bytes_ += entry.bytes;
    kept_[entry.offset] = file_.read(entry.bytes, entry.offset);
  }

  // Reads an extension header, which describes the next member.
  void extend(const TarHeader& header) {
    if (header.bytes > kLargestExtension)
      throw UserError(fmt::format("a long name or pax header of {} bytes; the limit is {}", header.bytes,
                                  kLargestExtension));
    if (!extension_.is_open && header.type != 'g') extension_ = {.is_open = true, .offset = at_};
    const uint64_t next = end_of(at_ + kTarBlock, header.bytes);
    const std::string text = file_.read(header.bytes, at_ + kTarBlock);
    if (header.type == 'x') parse_pax(text, extension_.pax);
    if (header.type == 'g') parse_pax(text, global_);
    if (header.type == 'L') extension_.long_name = text.substr(0, text.find('\0'));
    if (header.type == 'K') extension_.long_link = text.substr(0, text.find('\0'));
    at_ = next;
  }

  void end() {
    if (extension_.is_open) throw UserError("a long name or pax header without a member");
    if (at_ + 2 * kTarBlock > blocks_.size()) {
      end_without_mark();
    } else if (!is_zero(blocks_.at(at_ + kTarBlock))) {
      throw UserError("a block of zeros between members");
    } else {
      return behind_the_end();
    }
    is_done_ = true;
  }

  // A writer that was not closed leaves whole members, and perhaps zeros of its last record. Anything else is
  // the beginning of a member.
  void end_without_mark() {
    const uint64_t from = std::min(at_, file_.bytes());
    if (!extension_.is_open && is_zero(file_.read(file_.bytes() - from, from))) {
      index_.has_end_mark = false;
    } else {
      fault(extension_.is_open ? extension_.offset : from, file_.bytes(),
            "the archive is cut off: its end mark, two blocks of zeros, is missing");
    }
  }

  // cat a.tar b.tar > c.tar makes such a file: a reader that follows the format misses the second.
  void behind_the_end() {
    uint64_t next = at_ + 2 * kTarBlock;
    const uint64_t limit = std::min(blocks_.size(), at_ + kZerosChecked);
    while (next < limit && is_zero(blocks_.at(next))) next += kTarBlock;
    is_done_ = next >= limit || !is_tar_header(blocks_.at(next), /*wants_magic=*/true);
    if (next < limit)
      fault(at_, is_done_ ? file_.bytes() : next, "there is data after the archive's end mark");
    at_ = next;
  }

  // Old GNU sparse files have more blocks of their map after the header.
  uint64_t skip_sparse_maps(uint64_t content) {
    constexpr size_t kFirstMore = 482, kMore = 504;
    bool has_more = blocks_.at(at_)[kFirstMore] != '\0';
    for (; has_more; content += kTarBlock) {
      if (content + kTarBlock > blocks_.size())
        throw UserError("the archive is cut off within a sparse file's map");
      has_more = blocks_.at(content)[kMore] != '\0';
    }
    return content;
  }

  uint64_t end_of(uint64_t content, uint64_t bytes) const {
    if (bytes > file_.bytes() || content > file_.bytes() - bytes)
      throw UserError(fmt::format("the archive is cut off: {} bytes should follow the header, {} do", bytes,
                                  file_.bytes() - std::min(content, file_.bytes())));
    return content + whole_blocks(bytes);
  }

  // Continues at the next valid header after the one that cannot be read.
  void recover(const std::string& reason) {
    const uint64_t begin = extension_.is_open ? extension_.offset : at_;
    uint64_t next = at_ + kTarBlock;
    while (next < blocks_.size() && !is_tar_header(blocks_.at(next), /*wants_magic=*/true)) next += kTarBlock;
    is_done_ = next >= blocks_.size();
    at_ = next;
    fault(begin, is_done_ ? file_.bytes() : next, reason);
    extension_ = {};
    name_.clear();
  }

  void fault(uint64_t offset, uint64_t end, std::string reason, bool is_damage = true) {
    index_.faults.push_back({.offset = offset,
                             .end = end,
                             .before = index_.entries.size(),
                             .is_damage = is_damage,
                             .name = name_,
                             .reason = std::move(reason)});
  }

  const InputFile& file_;
  const std::function<bool(const TarEntry&)>& keeps_;
  Blocks blocks_;
  TarIndex index_;
  KeptMembers kept_;
  uint64_t kept_bytes_ = 0;
  uint64_t at_ = 0;
  bool is_done_ = false;
  Extension extension_;
  PaxRecords global_;
  std::string name_;                                 // of the member that is being read
  std::unordered_map<std::string, size_t> by_name_;  // entries, once there is a hard link
  size_t num_named_ = 0;                             // of them
};

void refuse_compressed(const InputFile& file, std::string_view start) {
  const char* tool = start.starts_with("\x1f\x8b")           ? "gunzip"
                     : start.starts_with("\x28\xb5\x2f\xfd") ? "unzstd"
                     : start.starts_with("BZh")              ? "bunzip2"
                     : start.starts_with(
                           "\xfd"
                           "7zXZ")
                         ? "unxz"
                         : nullptr;
  if (!tool) return;
  throw UserError(
      fmt::format("{} is compressed. Samples are read by their offset in the archive, which needs a "
                  "plain tar file: unpack it once with {} (images are compressed themselves, so it "
                  "hardly grows).",
                  file.name(), tool));
}

}  // namespace

TarFile::TarFile(std::filesystem::path path) : file_(std::make_unique<InputFile>(std::move(path))) {
  list({});
}

TarFile::TarFile(std::filesystem::path name, uint64_t bytes, ReadAt read,
                 const std::function<bool(const TarEntry&)>& keeps)
    : file_(std::make_unique<InputFile>(std::move(name), bytes, std::move(read))) {
  list(keeps);
}

void TarFile::list(const std::function<bool(const TarEntry&)>& keeps) {
  const std::string start = file_->read(std::min(file_->bytes(), kTarBlock), 0);
  refuse_compressed(*file_, start);
  Reader reader(*file_, keeps);
  index_ = reader.read();
  kept_ = reader.take_kept();
  const bool is_header = start.size() == kTarBlock && (is_zero(start) || is_tar_header(start, false));
  if (index_.entries.empty() && !is_header)
    throw UserError(fmt::format("{} is not a tar archive: {}.", file_->name(),
                                start.empty() ? "it is empty" : "no header was found in it"));
}
TarFile::~TarFile() = default;
TarFile::TarFile(TarFile&&) noexcept = default;

uint64_t TarFile::bytes() const { return file_->bytes(); }

std::string TarFile::read(const TarEntry& entry, uint64_t most) const {
  if (const auto kept = kept_.find(entry.offset); kept != kept_.end()) return kept->second.substr(0, most);
  return file_->read(std::min(entry.bytes, most), entry.offset);
}

}  // namespace pixart::formats
