// Hashes of all bytes of files of gigabytes, computed once per machine: they are kept in the user's cache for
// a file as long as its device, inode, size and times are the same.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/cache_folder.h"

namespace pixart::train {

struct HashCache {
  std::filesystem::path folder = {};  // "": nothing is kept
  // The hash of a file that changed within this time is not kept: it may change once more and have the same
  // times.
  double settle_seconds = 2;
  size_t most_files = 1000;  // that are known; those longest known make room
};

// The cache that all processes of the user share.
HashCache user_hash_cache();

// SHA-256 of each file, in order; large files are read by one process of the machine at a time, with a
// progress bar that names `what`. A cache that cannot be read or written, or is damaged, only costs time.
// `bytes_read`: if given, grows by what had to be read. Throws UserError for a file that cannot be read, and
// when it is asked to stop.
std::vector<std::string> hash_files(const std::vector<std::filesystem::path>& files, const std::string& what,
                                    const HashCache& cache, uint64_t* bytes_read = nullptr);

// Of a folder: "sha256:" and a hash of the names and all bytes of the files below it. Hidden files and
// folders do not count: Git and downloaders keep their state there. Of a file: the SHA-256 of its bytes.
std::string folder_fingerprint(const std::filesystem::path& folder,
                               const HashCache& cache = user_hash_cache());
std::string file_fingerprint(const std::filesystem::path& file, const HashCache& cache = user_hash_cache());

// What folder_fingerprint() was before, of names, sizes and the first and last 64 KiB of each file: features
// and pictures that were made then say this.
std::string former_folder_fingerprint(const std::filesystem::path& folder);

}  // namespace pixart::train
