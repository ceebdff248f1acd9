// manifest.json of a checkpoint folder: the expected content of each file. Without LibTorch.
//
// Every check throws a UserError with one of two codes. kStorage: the system could not read the file (no
// permission, a failing disk or file server) or a newer version wrote it; the files may be good. kBadInput:
// the file is missing or no regular file, or its content is not the one that was saved.
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
  std::string tensor;  // "": the header of the file, or a file without tensors
  uint64_t begin = 0, end = 0;
  std::string sha256;
};

struct FileRecord {
  uint64_t bytes = 0;
  std::vector<FilePart> parts = {};  // they cover the whole file without gaps
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

// True if `folder` looks like a checkpoint of this program, complete or not.
bool is_checkpoint_folder(const std::filesystem::path& folder);

// Reads the manifest and checks its own hash.
Manifest read_manifest(const std::filesystem::path& folder);

// Both check all files in the manifest, or only the file `only`. check_sizes(): the file exists and has its
// size. check_hashes(): it also has its hashes, tensor by tensor.
void check_sizes(const std::filesystem::path& folder, const Manifest& manifest, const std::string& only = "");
void check_hashes(const std::filesystem::path& folder, const Manifest& manifest,
                  const std::string& only = "");

// Checks only the parts of a file that are not tensors: the header of a safetensors file.
void check_header(const std::filesystem::path& file, const FileRecord& record);

// The entries of `folder` that are not in the manifest, sorted. No one may read them.
std::vector<std::string> unnamed_entries(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace pixart::formats
