// The zip files that torch.save writes: a few records, stored and not compressed, under one top folder. The
// whole directory is checked against the file before any record is used.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "input_file.h"

namespace pixart::formats {

struct ZipRecord {
  std::string name = {};  // without the top folder
  uint64_t offset = 0;    // of the data in the file
  uint64_t bytes = 0;
  uint32_t crc = 0;
};

using ZipRecords = std::map<std::string, ZipRecord>;  // by name

// Throws UserError naming file, offset and reason.
ZipRecords read_zip_directory(const InputFile& file);

// The record's bytes; UserError if their CRC-32 is not the directory's.
void read_record(const InputFile& file, const ZipRecord& record, void* to);

}  // namespace pixart::formats
