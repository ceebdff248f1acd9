// What a folder may hold after the machine stopped at some moment of a record of io_shim.h.
//
// Ordered: everything up to the moment, the last write cut. Weak: of what no fsync had covered by then, any
// part may be missing, and written bytes may be zeros or half of them; an fsync of a file covers its bytes
// and not its name, an fsync of a folder covers the names in it. Where there are too many such parts to try
// all, each alone is missing or there, and some random selections are tried.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pixart::testing {

struct Operation {
  std::string kind;  // create truncate write sync rename exchange mkdir unlink mark
  uint64_t inode = 0;
  uint64_t offset = 0;
  std::string path, second;  // relative; of a mark, `path` is its text
  std::string bytes;
};

std::vector<Operation> read_record(const std::filesystem::path& file);

struct CrashModel {
  bool weak = false;
  int random_selections = 8;  // per moment
  unsigned seed = 1;
};

struct CrashState {
  size_t moment = 0;               // operations made
  std::vector<std::string> marks;  // before that
  std::string what;                // what is missing, for people
};

// Calls `visit` for each different state, after laying it out in `folder` (emptied before). Returns how many
// there were.
int64_t for_each_crash_state(const std::vector<Operation>& operations, const CrashModel& model,
                             const std::filesystem::path& folder,
                             const std::function<void(const CrashState&)>& visit);

}  // namespace pixart::testing
