#include "listing.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "file_ending.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// Of the kinds of images that no decoder here reads.
constexpr std::array<std::string_view, 32> kOtherEndings = {
    ".heic", ".heif", ".hif", ".avifs", ".jxl", ".jp2", ".j2k", ".jpx", ".jxr", ".hdp", ".svg",
    ".ico",  ".icns", ".psd", ".psb",   ".xcf", ".tga", ".dds", ".exr", ".hdr", ".pcx", ".pnm",
    ".ppm",  ".pgm",  ".pbm", ".pfm",   ".qoi", ".dng", ".cr2", ".nef", ".arw", ".apng"};

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Whether following the link at `path` would lead to a folder that holds it.
bool leads_back(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return false;
  const fs::path target = fs::canonical(path, error), here = fs::canonical(path.parent_path(), error);
  const auto [unmatched, unused] = std::mismatch(target.begin(), target.end(), here.begin(), here.end());
  return !error && unmatched == target.end();
}

// What is found below a folder.
struct Walk {
  const fs::path& root;
  Links& links;
  ListingWatch& watch;      // counts
  ListingWatch& own_watch;  // has what is read
  ListedImages found = {};
  std::vector<std::string> unlisted = {}, others = {};  // folders; images of kinds that are not read
  std::vector<std::string> refused = {};                // links
  std::vector<fs::path> folders = {};                   // directly in it

  std::string key_of(const fs::path& path) const { return path.lexically_relative(root).generic_string(); }

  void take(const fs::directory_entry& entry) {
    const fs::path& path = entry.path();
    if (is_hidden(path)) return;
    std::error_code no_status;
    const bool is_folder = entry.is_directory(no_status), is_image = has_image_ending(path);
    check_machine(path, no_status.value());
    if ((is_folder || is_image) && entry.is_symlink(no_status) && !links.admit(path)) {
      refused.push_back(path.string());
    } else if (is_image) {
      found.add(key_of(path));
      watch.found();
    } else if (is_folder) {
      if (!leads_back(path)) folders.push_back(path);
    } else if (contains(kOtherEndings, std::string_view(file_ending(path)))) {
      others.push_back(key_of(path));
    }
  }

  // The folder itself; its sub-folders are in `folders` then.
  void enter(const fs::path& folder) {
    own_watch.reads(folder);
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) take(*at);
    check_machine(folder, error.value());
    if (error) unlisted.push_back(key_of(folder) + " (" + error.message() + ")");
  }
  void enter_all(const fs::path& folder) {
    enter(folder);
    const auto inner = std::exchange(folders, {});
    for (const auto& one : inner) enter_all(one);
  }
  void clear() { found = {}, unlisted.clear(), others.clear(), refused.clear(), folders.clear(); }
};

void write_texts(const std::vector<std::string>& texts, PartWriter& writer) {
  writer.number(texts.size());
  for (const auto& text : texts) writer.text(text);
}

// Passes them on one by one: there may be millions.
void read_texts(PartReader& reader, const std::function<void(std::string_view)>& take) {
  for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count) take(reader.text());
}

// The folders from the top down, until there are enough of them to be parts; what they hold themselves is in `walk`.
std::vector<fs::path> folders_for_parts(const fs::path& top, Walk& walk) {
  constexpr size_t kEnough = 32;
  constexpr int kDeepest = 4;
  std::vector<fs::path> folders = {top};
  for (int depth = 0; depth < kDeepest && !folders.empty() && folders.size() < kEnough; ++depth) {
    walk.folders.clear();
    for (const auto& folder : folders) walk.enter(folder);
    folders = std::exchange(walk.folders, {});
    std::sort(folders.begin(), folders.end());
  }
  return folders;
}

// The size of an image; 0, and what is wrong with it, if it cannot be read.
uint64_t look_at(const fs::path& path, std::optional<ReadFault>& fault) {
  const auto is_at_fault = [&](Reason reason, std::string detail) {
    fault.emplace(ReadFault{.reason = reason, .detail = std::move(detail)});
    return uint64_t{0};
  };
  std::error_code error;
  const auto status = fs::status(path, error);
  check_machine(path, error.value());
  if (!fs::exists(status)) return is_at_fault(Reason::kMissingFile, "a broken link");
  if (status.type() != fs::file_type::regular)
    return is_at_fault(Reason::kUnreadableFile, "it is not a regular file");
  const auto bytes = fs::file_size(path, error);
  check_machine(path, error.value());
  if (error) return is_at_fault(Reason::kUnreadableFile, error.message());
  if (bytes == 0) return is_at_fault(Reason::kEmptyFile, "the file is empty");
  return uint64_t(bytes);
}

}  // namespace

std::string_view ListedImages::key(int64_t i) const {
  const auto& image = images_[size_t(i)];
  return keys_.view().substr(image.key_begin, image.key_bytes);
}

const ReadFault* ListedImages::fault(int64_t i) const {
  const uint32_t fault = images_[size_t(i)].fault;
  return fault == 0 ? nullptr : &faults_[fault - 1];
}

void ListedImages::add(std::string_view key) {
  images_.push_back({.key_begin = keys_.size(), .key_bytes = uint32_t(key.size())});
  keys_.append(key);
}

void ListedImages::set(int64_t i, uint64_t bytes, std::optional<ReadFault> fault) {
  images_[size_t(i)].bytes = bytes;
  if (!fault) return;
  faults_.push_back(*std::move(fault));
  images_[size_t(i)].fault = uint32_t(faults_.size());
}

void ListedImages::append(const ListedImages& other) {
  for (int64_t i = 0; i < other.size(); ++i) add(other.key(i));
}

void ListedImages::sort() {
  const auto key = [this](const Image& image) {
    return keys_.view().substr(image.key_begin, image.key_bytes);
  };
  std::sort(images_.begin(), images_.end(), [&](const Image& a, const Image& b) { return key(a) < key(b); });
}

void ListedImages::remove_repeated() {
  size_t count = 0;
  for (int64_t i = 0; i < size(); ++i)
    if (i == 0 || key(i) != key(int64_t(count) - 1)) images_[count++] = images_[size_t(i)];
  images_.resize(count);
}

namespace {

// The result of a part: what is in a folder and its sub-folders.
std::string listed_folder(const fs::path& root, const fs::path& folder, Links& links, ListingWatch& watch,
                          ListingWatch& own) {
  Walk walk{root, links, watch, own};
  retry_machine_faults("list " + folder.string(), [&] { walk.clear(), walk.enter_all(folder); });
  PartWriter writer;
  writer.number(uint64_t(walk.found.size()));
  for (int64_t i = 0; i < walk.found.size(); ++i) writer.text(walk.found.key(i));
  for (const auto* texts : {&walk.unlisted, &walk.others, &walk.refused}) write_texts(*texts, writer);
  return writer.take();
}

void report_walk(const fs::path& folder, Walk& walk, Problems& problems) {
  if (!walk.unlisted.empty())
    problems.add(fmt::format("cannot list {} folder(s): {}", walk.unlisted.size(), name_some(walk.unlisted)));
  if (walk.others.empty()) return;
  std::sort(walk.others.begin(), walk.others.end());
  log::warning(
      "{}: {} file(s) of other kinds of images are not listed: {}. To use them, convert them to one of {}.",
      folder.string(), walk.others.size(), name_some(walk.others), shown_image_endings());
}

}  // namespace

ListedImages list_images(const SourceConfig& config, const std::string& below, const std::string& step,
                         Links& links, ListingWatch& watch, Problems& problems) {
  const fs::path& root = config.path;
  const fs::path folder = below.empty() ? root : root / fs::path(below).lexically_normal();
  ListedImages images;
  if (!below.empty() && !links.admit(folder)) return images;
  Walk top{root, links, watch, watch};
  std::vector<fs::path> folders;
  retry_machine_faults("list " + folder.string(), [&] {
    top.clear();
    folders = folders_for_parts(folder, top);
  });
  images = std::exchange(top.found, {});
  const auto make = [&](int64_t i, ListingWatch& own) {
    return listed_folder(root, folders[size_t(i)], links, watch, own);
  };
  const auto take = [&](int64_t, std::string_view result) {
    PartReader reader(result);
    read_texts(reader, [&](std::string_view key) { images.add(key); });
    read_texts(reader, [&](std::string_view text) { top.unlisted.emplace_back(text); });
    read_texts(reader, [&](std::string_view text) { top.others.emplace_back(text); });
    read_texts(reader, [&](std::string_view path) { links.admit(fs::path(path)); });
  };
  run_step({.name = step,
            .what = "list the folders of " + config.name,
            .unit = "folder",
            .parts = int64_t(folders.size()),
            .make = make,
            .take = take},
           watch);
  images.sort();
  report_walk(folder, top, problems);
  return images;
}

int64_t rows_of_part(int64_t size) {
  constexpr int64_t kParts = 64, kFewest = 256, kMost = 16384;
  return std::clamp(size / kParts, kFewest, kMost);
}

void look_at_images(const SourceConfig& config, bool is_last, ListingWatch& watch, ListedImages& images) {
  constexpr int kThreads = 16;  // because file servers are slow to answer
  const int64_t rows = rows_of_part(images.size());
  const auto make = [&](int64_t part, ListingWatch&) {
    PartWriter sizes, faults;
    for (int64_t i = part * rows; i < std::min((part + 1) * rows, images.size()); ++i) {
      const fs::path path = config.path / images.key(i);
      std::optional<ReadFault> fault;
      uint64_t bytes = 0;
      retry_machine_faults("look at " + path.string(), [&] { bytes = look_at(path, fault = {}); });
      sizes.number(bytes);
      if (fault)
        faults.number(uint64_t(i)), faults.number(uint64_t(fault->reason)), faults.text(fault->detail);
      watch.found(0);
    }
    return sizes.take() + faults.take();
  };
  const auto take = [&](int64_t part, std::string_view result) {
    PartReader reader(result);
    for (int64_t i = part * rows; i < std::min((part + 1) * rows, images.size()); ++i)
      images.set(i, reader.number(), {});
    while (!reader.is_at_end()) {
      const auto i = int64_t(reader.number());
      if (i >= images.size()) throw DamagedPart();
      const auto reason = Reason(reader.number());
      images.set(i, images.bytes(i), ReadFault{reason, std::string(reader.text())});
    }
  };
  run_step({.name = "images",
            .what = "find the images of " + config.name,
            .unit = "image",
            .parts = (images.size() + rows - 1) / rows,
            .units = images.size(),
            .threads = kThreads,
            .is_last = is_last,
            .make = make,
            .take = take},
           watch);
}

std::string shown_image_endings() {
  std::vector<std::string> names;
  for (const auto ending : formats::image_endings()) names.push_back(fmt::format(".{}", ending));
  return join(names, " ");
}

void add_image(uint32_t file, const ListedImages& images, int64_t i, Listing& listing,
               std::vector<ListedText> captions, int64_t label) {
  listing.add({.key = std::string(images.key(i)),
               .captions = std::move(captions),
               .label = label,
               .file = file,
               .bytes = images.bytes(i)});
  if (const auto* fault = images.fault(i)) listing.reject(fault->reason, fault->detail);
}

std::string hint_of_saved_dataset(const fs::path& folder) {
  std::error_code error;
  const bool has_splits = fs::exists(folder / "dataset_dict.json", error);
  bool has_arrow = false;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    has_arrow = has_arrow || file_ending(at->path()) == ".arrow";
  if (!has_arrow && !has_splits) return {};
  return fmt::format(
      "{} holds .arrow files of the datasets package, which are not read. Write them as Parquet and use type: "
      "parquet: python3 -c 'import datasets; datasets.load_from_disk(\"{}\"){}.to_parquet(\"images.parquet\")'",
      folder.string(), folder.string(), has_splits ? "[\"train\"]" : "");
}

std::vector<std::string> list_folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_status;
    if (at->is_directory(no_status) && !is_hidden(at->path()))
      names.push_back(at->path().filename().string());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pixart::data
