// Finds the images of a folder and reports unreadable ones.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "links.h"
#include "pixart/base/error.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

// Images of a folder, in a form that takes no memory for millions of them (spilled_vector.h).
class ListedImages {
 public:
  int64_t size() const { return int64_t(images_.size()); }
  std::string_view key(int64_t i) const;  // path below the source's folder, with '/'
  uint64_t bytes(int64_t i) const { return images_[size_t(i)].bytes; }
  const ReadFault* fault(int64_t i) const;  // an empty file, a broken link, not a file; null: none
  void add(std::string_view key);
  void set(int64_t i, uint64_t bytes, std::optional<ReadFault> fault);
  void append(const ListedImages& other);
  void sort();             // by key
  void remove_repeated();  // of sorted ones

 private:
  struct Image {
    uint64_t key_begin = 0, bytes = 0;
    uint32_t key_bytes = 0, fault = 0;  // fault: 0, or one more than the place in faults_
  };
  SpilledVector<Image> images_;
  SpilledVector<char> keys_;
  std::vector<ReadFault> faults_;
};

// All files in `root`/`below` and its sub-folders whose names have one of formats::image_endings(), sorted by
// key. Skips names that start with a dot; follows links that `links` admits, except back to a folder that
// holds them.
// Folders that cannot be listed become one entry of `problems`. Images of other kinds (.heic, .psd, ...) are
// counted and named in a warning. `step`: a name for the work, of letters.
ListedImages list_images(const SourceConfig& config, const std::string& below, const std::string& step,
                         Links& links, ListingWatch& watch, Problems& problems);

// Looks for the sizes and faults of the images, which no other function does.
void look_at_images(const SourceConfig& config, bool is_last, ListingWatch& watch, ListedImages& images);

// How many of `size` rows a part has in which each row costs a request to a file server.
int64_t rows_of_part(int64_t size);

std::string shown_image_endings();  // ".jpg .jpeg ...", for messages

// Appends image `i` in the folder that the pattern `file` names as a record; it is rejected if the image has a
// fault.
void add_image(uint32_t file, const ListedImages& images, int64_t i, Listing& listing,
               std::vector<ListedText> captions = {}, int64_t label = -1);

// What to do with a folder of .arrow files, as save_to_disk() of the `datasets` package writes it; "" for others.
std::string hint_of_saved_dataset(const std::filesystem::path& folder);

// Names of the folders directly inside `folder`, sorted, without those that start with a dot.
std::vector<std::string> list_folders(const std::filesystem::path& folder);

}  // namespace pixart::data
