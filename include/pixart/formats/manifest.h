// manifest.json of a checkpoint folder: what each of its files must hold. Without LibTorch.
//
// Every check throws a UserError, and its code says what was learnt: kStorage where the system did not let us
// read (no permission, a disk or file server that fails, a newer format), which proves nothing about the
// files; kBadInput where what was read is not what was saved, or is not there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/formats/hash.h"

namespace pixart::formats {

struct FilePart {
  std::string tensor;  // "": its header, or a file without tensors
  uint64_t begin = 0, end = 0;
  std::string sha256;
};

struct FileRecord {
  uint64_t bytes = 0;
  std::vector<FilePart> parts = {};  // the whole file, without gaps
};

struct Manifest {
  int64_t step = 0;
  std::map<std::string, FileRecord> files = {};
};

// Collects the record of a file while it is written.
class FileRecorder {
 public:
  void add(const std::string& tensor, std::string_view bytes);
  FileRecord finish();

 private:
  FileRecord record_;
};

std::string manifest_text(const Manifest& manifest);

// Whether `folder` looks like a checkpoint of ours, whole or not.
bool is_checkpoint_folder(const std::filesystem::path& folder);

// Checks the manifest's own hash.
Manifest read_manifest(const std::filesystem::path& folder);

// Of all files that the manifest names, or of `only`: they are there and have their size; they have their
// hashes too, tensor by tensor.
void check_sizes(const std::filesystem::path& folder, const Manifest& manifest, const std::string& only = "");
void check_hashes(const std::filesystem::path& folder, const Manifest& manifest,
                  const std::string& only = "");

// Only the parts of one file that are not tensors: the header of a safetensors file.
void check_header(const std::filesystem::path& file, const FileRecord& record);

// What is in `folder` and not in the manifest, sorted: nobody may read it.
std::vector<std::string> unnamed_entries(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace pixart::formats
