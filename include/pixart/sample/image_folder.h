// A folder of drawn images, 0000.png, 0001.png, ... or named as a suite wants, and sample.json, which says what
// they depend on. Each image is whole or absent, so a later call can draw those that are missing.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/file_lock.h"
#include "pixart/formats/image_file.h"

namespace pixart::sample {

// What the images of a folder depend on: names and values, in the order in which differences are reported.
using Settings = std::vector<std::pair<std::string, std::string>>;

using PngText = std::map<std::string, std::string>;

// The images of a folder in one array, as the programs of ADM read them: arr_0, bytes, [N, height, width, 3].
inline constexpr const char* kArchive = "samples.npz";

// What becomes of the images that a folder holds already.
enum class Existing {
  kRefuse,   // the folder is refused
  kReplace,  // those of pixart sample with the names that are written are replaced, others are kept
  kResume,   // those that are missing are added
};

struct FolderRequest {
  std::filesystem::path folder = {};  // "": a new folder samples/0001, samples/0002, ...
  Existing existing = Existing::kRefuse;
  int64_t num_images = 0;
  bool with_page = false;     // index.html is written, too
  bool with_archive = false;  // and kArchive
  // Path of image i below the folder; unset: 0000.png, 0001.png, ...
  std::function<std::string(int64_t)> name_of = {};
  std::filesystem::path out = {};  // --out of the command that continues it, if it is another folder
  std::vector<std::string> side_files = {};  // paths below the folder of other files that are written
};

// Throws UserError that names what is in the way: images, or files with the names that are written. Of
// kReplace only files that pixart sample did not write are in the way, of kResume only a folder of images
// without sample.json. It is cheap, so that it can come before a model is loaded.
void check_folder(const FolderRequest& request);

class ImageFolder {
 public:
  // Makes the folder and its sample.json, or continues it. No other process may write to it meanwhile
  // (kFolderOwned). `text_of(i)`: the PNG text of image i. Throws UserError like check_folder(), and one that
  // names each setting that was another one, and each image that is damaged or another one.
  ImageFolder(const FolderRequest& request, const Settings& settings,
              std::function<PngText(int64_t)> text_of);
  // The folder of the same request in another rank, which holds it as long as this one is used: `there` is what
  // that one's there() was.
  static ImageFolder of_another_rank(const FolderRequest& request, const std::string& there,
                                     std::function<PngText(int64_t)> text_of);

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& out() const { return out_.empty() ? path_ : out_; }  // for messages
  int64_t size() const { return int64_t(is_there_.size()); }
  int64_t num_there() const { return num_there_; }
  bool is_there(int64_t i) const { return is_there_[size_t(i)] != 0; }
  std::string there() const { return {is_there_.begin(), is_there_.end()}; }
  // "0003.png", with more digits if there are more than 10,000 images; or as the request says.
  std::string name(int64_t i) const;
  PngText text(int64_t i) const { return text_of_(i); }
  void save(int64_t i, const Image& image);
  void look_again();  // counts the images that other ranks have saved, too
  // True if a page was asked for, or one of an earlier call is there or was replaced.
  bool wants_page() const { return wants_page_; }

 private:
  ImageFolder() = default;
  void begin(const FolderRequest& request, const Settings& settings);
  void resume(const FolderRequest& request);

  std::filesystem::path path_, out_;
  std::optional<FileLock> lock_ = {};
  std::function<PngText(int64_t)> text_of_;
  std::function<std::string(int64_t)> name_of_;
  std::vector<char> is_there_;
  int64_t num_there_ = 0;
  bool wants_page_ = false;
};

}  // namespace pixart::sample
