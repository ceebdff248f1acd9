// Hashes all bytes of large files once per machine: the user's cache keeps the hash of a file as long as its
// device, inode, size and times are the same.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/cache_folder.h"
#include "pixart/data/feature_set.h"

namespace pixart::features {

struct HashCache {
  std::filesystem::path folder = {};  // "": nothing is kept
  // The hash of a file that changed within this time is not kept: the file may change again and keep its
  // times.
  double settle_seconds = 2;
  size_t most_files = 1000;  // in the cache; the oldest entries make room
};

// The cache that all processes of the user share.
HashCache user_hash_cache();

// SHA-256 of each file, in order. Only one process of the machine reads large files at a time, with a
// progress bar that names `what`. A cache that is damaged or cannot be read or written only costs time. Adds
// the number of bytes read to `bytes_read`, if given. Throws UserError for a file that cannot be read, and on
// a request to stop.
std::vector<std::string> hash_files(const std::vector<std::filesystem::path>& files, const std::string& what,
                                    const HashCache& cache, uint64_t* bytes_read = nullptr);

// For a folder: "sha256:" and a hash of the names and all bytes of the files below it, without hidden files
// and folders, in which Git and downloaders keep their state. For a file: the SHA-256 of its bytes.
std::string folder_fingerprint(const std::filesystem::path& folder,
                               const HashCache& cache = user_hash_cache());
std::string file_fingerprint(const std::filesystem::path& file, const HashCache& cache = user_hash_cache());

// Of the weights that formats::open_weights() finds at `path`: a hash of all bytes of their files, whatever their
// names.
std::string weights_fingerprint(const std::filesystem::path& path,
                                const HashCache& cache = user_hash_cache());

// As an input of feature sets that are made with what is in the folder.
data::FeatureInput folder_input(const std::string& name, const std::filesystem::path& folder);

// The earlier form of folder_fingerprint(), from names, sizes and the first and last 64 KiB of each file.
// Features and images that were made then contain it.
std::string former_folder_fingerprint(const std::filesystem::path& folder);

}  // namespace pixart::features
