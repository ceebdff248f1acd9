// Symbolic links inside a source. A link may lead to another place in the source's folder, and the path of the
// source may be a link itself. A link that leads out could make any file of the machine a part of the data,
// e.g. a caption that `pixart data pack` publishes; it is refused unless the source says follow_links.
#pragma once
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/data/dataset.h"

namespace pixart::data {

class Links {
 public:
  // `roots`: the folders that the config of the source names, and the folder of a file that it names.
  Links(const SourceConfig& config, std::vector<std::filesystem::path> roots);

  // Whether the path may be read: no link in it leads out of all roots. Otherwise it is remembered.
  // A path that does not exist may be read. Several threads may call it.
  bool admit(const std::filesystem::path& path);
  bool admit(const std::filesystem::path& path, bool is_link);  // where that is known already

  // One problem that counts and names the links that lead out; nothing if there are none.
  void add_to(Problems& problems) const;
  void throw_if_any() const;  // the same as a UserError

 private:
  bool is_inside(const std::filesystem::path& real) const;
  bool is_folder_inside(const std::filesystem::path& folder);

  const SourceConfig& config_;
  std::vector<std::filesystem::path> shown_roots_, roots_;  // as given; without links
  mutable std::mutex mutex_;
  std::map<std::filesystem::path, bool> folders_;  // whether they are inside
  std::map<std::string, std::string> refused_;     // the path, and where it leads
};

}  // namespace pixart::data
