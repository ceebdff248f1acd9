// manifest.json of a checkpoint: what each of its files must hold. Without LibTorch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/formats/hash.h"

namespace pixart::train {

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

// Checks the manifest's own hash. Throws UserError.
Manifest read_manifest(const std::filesystem::path& folder);

// "" or what is wrong with the files' sizes, or with their hashes too.
std::string wrong_size(const std::filesystem::path& folder, const Manifest& manifest);
std::string wrong_hash(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace pixart::train
