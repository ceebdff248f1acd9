#include <fmt/format.h>

#include "pickle.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pth_layouts.h"
#include "zip_archive.h"
#include "zip_record.h"

namespace pixart::formats {

namespace {

[[noreturn]] void refuse_zip(const InputFile& file, const std::string& reason) {
  throw UserError(fmt::format("{}: {}.", file.name(), reason));
}

// The names that torch.save writes; other names belong to other kinds of archives.
void check_names(const InputFile& file, const ZipRecords& records) {
  for (const auto& [name, record] : records) {
    if (name == "constants.pkl" || name.starts_with("code/")) {
      refuse_zip(
          file,
          "a TorchScript archive holds code, not weights; save torch.save(model.state_dict(), ...) instead");
    }
  }
  for (const auto& [name, record] : records) {
    const bool is_expected = name == "data.pkl" || name == "byteorder" || name == "version" ||
                             name.starts_with("data/") || name.starts_with(".");
    if (!is_expected) refuse_zip(file, fmt::format("record {} is not written by torch.save", shown(name)));
  }
}

// Files of torch.serialization.set_crc32_options(False) have 0 in place of every checksum.
void check_checksums(const InputFile& file, ZipRecords& records) {
  bool has_bytes = false;
  for (const auto& [name, record] : records) {
    if (record.crc != 0) return;
    has_bytes |= record.bytes > 0;
  }
  if (!has_bytes) return;
  log::warning("{}: saved without checksums, so damage to its values cannot be found", file.name());
  for (auto& [name, record] : records) record.has_crc = false;
}

std::string read_text(const InputFile& file, const ZipRecord& record) {
  if (record.bytes > kLargestPickle)
    refuse_zip(file, fmt::format("record {} of {} bytes is over the limit of {}", record.name, record.bytes,
                                 kLargestPickle));
  std::string text(size_t(record.bytes), '\0');
  read_record(file, record, text.data());
  return text;
}

std::vector<ZipRecord> places_of(const InputFile& file, const ZipRecords& records,
                                 const std::vector<StorageSpec>& storages) {
  std::vector<ZipRecord> places;
  for (const auto& storage : storages) {
    const auto found = records.find("data/" + storage.key);
    if (found == records.end()) refuse_zip(file, fmt::format("storage {} is missing", shown(storage.key)));
    if (found->second.bytes != storage.bytes) {
      refuse_zip(file, fmt::format("storage {} has {} bytes, its tensors need {}", shown(storage.key),
                                   found->second.bytes, storage.bytes));
    }
    places.push_back(found->second);
  }
  return places;
}

}  // namespace

PthLayout read_zip_layout(const InputFile& file) {
  ZipRecords records = read_zip_directory(file, kTorchZip);
  check_names(file, records);
  check_checksums(file, records);
  if (records.count("data.pkl") == 0) refuse_zip(file, "the archive has no data.pkl");
  if (records.count("byteorder") != 0 && read_text(file, records.at("byteorder")) != "little") {
    refuse_zip(file, "written on a big-endian machine; save it again on a little-endian machine");
  }
  const ZipRecord& pickle = records.at("data.pkl");
  read_text(file, pickle);  // checks its CRC
  PickleBytes bytes(file, pickle.offset, pickle.offset + pickle.bytes);
  PickleGraph graph = read_pickle(bytes, /*with_storages=*/true);
  if (bytes.left() != 0) refuse_zip(file, "data.pkl continues after the end of the pickle");
  auto places = places_of(file, records, graph.storages);
  return {std::move(graph), [&file, places = std::move(places)](size_t storage, void* to) {
            read_record(file, places[storage], to);
          }};
}

}  // namespace pixart::formats
