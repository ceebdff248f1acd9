// Writes the zip archives of torch.save and np.savez, with stored records.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/file.h"

namespace pixart::formats {

// A zip archive of stored records, laid out like PyTorch's own writer: data begins at multiples of 64 bytes;
// 64-bit fields are used where 32 bits are too few.
class ZipWriter {
 public:
  // `top`: the folder of all records; "": the records are in no folder.
  ZipWriter(AtomicFile& file, const std::string& top) : file_(file), prefix_(top.empty() ? "" : top + "/") {}
  // `pieces`: the content, in order; they are not copied.
  void add(const std::string& name, const std::vector<std::string_view>& pieces);
  // The same for a content of `bytes` bytes, which `produce` gives to its argument piece by piece.
  using Take = std::function<void(std::string_view piece)>;
  void add_pieces(const std::string& name, uint64_t bytes, const std::function<void(const Take&)>& produce);
  void finish();  // writes the directory; the file is committed by its owner

 private:
  struct Record {
    std::string name;
    uint64_t offset, bytes;
    uint32_t crc;
    bool is_long() const;
  };
  static std::string common_fields(const Record& record);
  static std::string local_header(const Record& record);
  static std::string central_header(const Record& record);

  AtomicFile& file_;
  std::string prefix_;
  std::vector<Record> records_;
};

}  // namespace pixart::formats
