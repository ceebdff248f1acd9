// Reads captions from their places.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "source_index.h"

namespace pixart::data {

class CaptionTable;  // caption_table.h
struct PlacedRows;   // placed_rows.h

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
  // `rows`: of a source whose rows are read by place; it and the index outlive this object.
  explicit CaptionTexts(const SourceIndex& index, const PlacedRows* rows = nullptr);
  ~CaptionTexts();
  std::vector<std::string> of(int64_t row) const;

 private:
  std::string bytes_at(const CaptionPlace& place, std::string_view key) const;
  std::string text_in_row(const CaptionPlace& place) const;
  const CaptionTable& table_of(const CaptionWay& way) const;
  const SourceIndex& index_;
  const PlacedRows* rows_;
  uint64_t number_;  // of this object in the process
  mutable std::mutex mutex_;
  mutable std::map<std::pair<uint32_t, std::string>, std::unique_ptr<CaptionTable>>
      tables_;  // when they are read first
};

}  // namespace pixart::data
