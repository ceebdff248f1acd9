// Reads captions from their places.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "source_index.h"

namespace pixart::data {

// The lines of a .txt file next to an image, from the first with text on, without translations of Tux Paint
// and with \n for \r\n; with `first_line` only the first with text. A file that begins with NUL bytes or a
// UTF-16 byte-order mark is rejected as text later.
std::string text_of_caption_file(const std::string& text, bool first_line);

// The checksum of a row is that of its captions' checksums.
uint32_t checksum_of(const std::vector<uint32_t>& captions);

// The texts of a row's captions. Throws UserError that names the file if they are not those that were
// indexed, and MachineFault. May be called from several threads, each of which keeps some files open.
class CaptionTexts {
 public:
  explicit CaptionTexts(const SourceIndex& index);
  std::vector<std::string> of(int64_t row) const;

 private:
  std::string bytes_at(const CaptionPlace& place, std::string_view key) const;
  const SourceIndex& index_;
  uint64_t number_;  // of this object in the process
};

}  // namespace pixart::data
