// What is known while a source is listed, and the parts of this work. A listing has steps (such as: read the rows of
// tables, then look for their images), and a step has parts: a shard, or some rows. Threads make the parts, and one
// thread takes their results in order; so the listing does not depend on who made which part.
//
// Several processes, on one machine or on several that share a folder, list a large source together, without a lock
// server: each claims a part (base/claim.h), and publishes its result in a file next to the index:
//
//   NAME.index.parts/STEP-HASH-000017.part   with the state of the files that it was made from, and a checksum
//
// HASH changes with the config of the source and with the files that the steps before have read. So a process that is
// started after a kill goes on with the parts that are there. A part that a slow or silent process has claimed is
// made by another one, too. The process that makes the index takes the parts of all steps, one after the other, and
// deletes them at the end; the others take those on which a later step depends.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "index_file.h"

namespace pixart::data {

// How this process takes part.
struct SharedListing {
  std::filesystem::path folder = {};  // of the parts
  std::string config = {};            // what they depend on
  SharedWork shared = {};
  bool makes_index = false;
  double help_after_seconds = 0;  // as FeatureWork (feature_set.h)
};

struct MadeElsewhere {};  // thrown where only the process that makes the index goes on

// Several threads may call its functions.
class ListingWatch {
 public:
  // `on_many` is called again and again when `many` rows were found, and may throw; 0: never.
  explicit ListingWatch(int64_t many = 0, std::function<void()> on_many = {})
      : many_(many), on_many_(std::move(on_many)) {}
  void reads(const std::filesystem::path& path);  // called before the file or folder is read
  void adds(const InputStamp& stamp);             // what another watch has seen
  void found(int64_t rows = 1);                   // 0: the work goes on
  std::vector<InputStamp> inputs() const;         // sorted
  std::function<void()> after_many = {};          // called from time to time while more is found
  const SharedListing* shared = nullptr;          // null: this process lists alone

 private:
  int64_t many_;
  std::function<void()> on_many_;
  std::atomic<int64_t> found_{0};
  mutable std::mutex mutex_;
  std::map<std::string, InputStamp> inputs_;
};

struct ListingStep {
  std::string name = {};             // of letters and digits
  std::string what = {}, unit = {};  // for the progress bar
  int64_t parts = 0, units = 0;      // units: 0: a part is one
  int threads = 0;                   // that make parts; 0: as many as physical cores
  bool is_last = false;              // only the process that makes the index goes on
  // The result of a part. It tells `own` what it reads, and give_sign_of_life() that it works. Called by any thread.
  std::function<std::string(int64_t part, ListingWatch& own)> make = {};
  // May throw DamagedPart, for the result of another process.
  std::function<void(int64_t part, std::string_view result)> take = {};
};

// Makes the parts, alone or with other processes, and takes them in their order.
void run_step(const ListingStep& step, ListingWatch& watch);

// Deletes the folder, but nothing in it that is not a part.
void delete_parts(const std::filesystem::path& folder);

}  // namespace pixart::data
