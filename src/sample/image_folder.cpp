#include "pixart/sample/image_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/deletion.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/formats/npz_bytes.h"

namespace pixart::sample {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kDefaultParent = "samples";
constexpr const char* kRecord = "sample.json";
constexpr const char* kRecordKind = "pixart sample, 1";  // the number changes with the meaning of a setting
constexpr const char* kGrid = "grid.png";
constexpr const char* kPage = "index.html";

std::string image_name(int64_t i, int64_t num_images) {
  constexpr size_t kLeastDigits = 4;
  const size_t digits = std::max(kLeastDigits, std::to_string(std::max<int64_t>(0, num_images - 1)).size());
  return fmt::format("{:0{}}.png", i, digits);
}

std::string image_name(int64_t i, const FolderRequest& request) {
  return request.name_of ? request.name_of(i) : image_name(i, request.num_images);
}

template <class Iterator>
std::set<std::string> paths_below(const fs::path& folder) {
  std::set<std::string> paths;
  std::error_code error;
  for (Iterator at(folder, error), end; !error && at != end; at.increment(error))
    paths.insert(at->path().lexically_relative(folder));
  if (error)
    throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()), ExitCode::kStorage);
  return paths;
}

// Of a suite, whose images may be in folders, also what is in these.
std::set<std::string> names_in(const FolderRequest& request, const fs::path& folder) {
  return request.name_of ? paths_below<fs::recursive_directory_iterator>(folder)
                         : paths_below<fs::directory_iterator>(folder);
}

bool is_image_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot != std::string::npos && dot > 0 &&
         contains(formats::image_endings(), ascii_lower(name.substr(dot + 1)));
}

// A gallery of pixart sample; of another page nothing is known.
bool is_our_page(const fs::path& path) {
  constexpr uint64_t kLargest = uint64_t{64} << 20;
  if (!fs::is_regular_file(fs::symlink_status(path)) || fs::file_size(path) > kLargest) return false;
  const std::string page = read_file(path, kLargest);
  return page.find("<title>Images</title>") != std::string::npos &&
         page.find("<div class=\"gallery\">") != std::string::npos;
}

bool is_our_archive(const fs::path& path) {
  return fs::is_regular_file(fs::symlink_status(path)) && formats::is_npz_of_bytes(path);
}

// Files that do not say themselves who wrote them.
std::vector<std::string> names_without_mark(const FolderRequest& request) {
  std::vector<std::string> names = {kGrid, kRecord};
  names.insert(names.end(), request.side_files.begin(), request.side_files.end());
  return names;
}

// The names that will be written and that the folder has, images first. A gallery that is there is brought up
// to date, and an archive is not left next to other images, so both count even if none was asked for.
std::vector<std::string> taken_names(const std::set<std::string>& names, const FolderRequest& request) {
  std::vector<std::string> taken;
  for (int64_t i = 0; i < request.num_images; ++i)
    if (const auto name = image_name(i, request); names.count(name) > 0) taken.push_back(name);
  for (const auto& name : names_without_mark(request))
    if (names.count(name) > 0) taken.push_back(name);
  if (names.count(kPage) > 0 && (request.with_page || is_our_page(request.folder / kPage)))
    taken.push_back(kPage);
  if (names.count(kArchive) > 0 && (request.with_archive || is_our_archive(request.folder / kArchive)))
    taken.push_back(kArchive);
  return taken;
}

std::vector<std::string> other_images(const std::set<std::string>& names,
                                      const std::vector<std::string>& taken) {
  const std::set<std::string> known(taken.begin(), taken.end());
  std::vector<std::string> others;
  for (const auto& name : names)
    if (is_image_name(name) && known.count(name) == 0) others.push_back(name);
  return others;
}

std::optional<Settings> read_record(const fs::path& folder) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const fs::path path = folder / kRecord;
  if (!fs::is_regular_file(fs::symlink_status(path))) return std::nullopt;
  const auto record = formats::parse_ordered_or_discard(read_file(path, kLargest));
  if (!record.is_object() || record.value("kind", ordered_json()) != kRecordKind) return std::nullopt;
  const auto found = record.find("settings");
  if (found == record.end() || !found->is_object()) return std::nullopt;
  Settings settings;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string()) return std::nullopt;
    settings.emplace_back(name, value.get<std::string>());
  }
  return settings;
}

void write_record(const fs::path& folder, const Settings& settings) {
  ordered_json values = ordered_json::object();
  for (const auto& [name, value] : settings) values[name] = value;
  write_file_atomically(folder / kRecord,
                        ordered_json{{"kind", kRecordKind}, {"settings", values}}.dump(1) + "\n");
}

bool is_our_image(const fs::path& path) {
  if (!fs::is_regular_file(fs::symlink_status(path))) return false;
  try {
    const PngText text = formats::read_png_text(path);
    return std::ranges::all_of(std::vector{"prompt", "seed", "model_sha256", "software"},
                               [&](const char* key) { return text.count(key) > 0; });
  } catch (const UserError&) {  // not a PNG, or a damaged one
    return false;
  }
}

// Of the names that will be written, those of files that pixart sample did not write. Grid, record and the side
// files of suites have no mark of their own: every call writes them, so next to images of ours they are ours.
std::vector<std::string> names_of_others(const FolderRequest& request,
                                         const std::vector<std::string>& taken) {
  const fs::path& folder = request.folder;
  const auto without_mark = names_without_mark(request);
  std::vector<char> is_ours(taken.size());
  for_each_in_parallel(int64_t(taken.size()), [&](int64_t i) {
    const fs::path path = folder / taken[size_t(i)];
    is_ours[size_t(i)] = is_our_image(path) || (taken[size_t(i)] == kPage && is_our_page(path)) ||
                         (taken[size_t(i)] == kArchive && is_our_archive(path));
  });
  const bool is_our_folder = read_record(folder) || contains(is_ours, char(true));
  std::vector<std::string> others;
  for (size_t i = 0; i < taken.size(); ++i) {
    const bool has_no_mark = contains(without_mark, taken[i]);
    const bool is_file = fs::is_regular_file(fs::symlink_status(folder / taken[i]));
    if (!is_ours[i] && !(has_no_mark && is_our_folder && is_file)) others.push_back(taken[i]);
  }
  return others;
}

void refuse_held(const FolderRequest& request, std::vector<std::string> taken,
                 const std::vector<std::string>& others) {
  taken.insert(taken.end(), others.begin(), others.end());
  if (taken.empty()) return;
  throw UserError(fmt::format(
      "{} holds {}. --resume draws the images that are missing there, --overwrite replaces images "
      "of the same names; or choose another --out.",
      request.folder.string(), name_some(taken)));
}

void refuse_others(const fs::path& folder, const std::vector<std::string>& names) {
  if (names.empty()) return;
  throw UserError(
      fmt::format("{} holds files that pixart sample did not write, and they are not replaced: {}. "
                  "Choose another --out.",
                  folder.string(), name_some(names)));
}

void check_folder(const FolderRequest& request, const std::set<std::string>& names) {
  const auto taken = taken_names(names, request), others = other_images(names, taken);
  if (request.existing == Existing::kRefuse) return refuse_held(request, taken, others);
  if (request.existing == Existing::kReplace)
    return refuse_others(request.folder, names_of_others(request, taken));
  if (contains(taken, std::string(kPage)) && !is_our_page(request.folder / kPage))
    refuse_others(request.folder, {kPage});
  if (contains(taken, std::string(kArchive)) && !is_our_archive(request.folder / kArchive))
    refuse_others(request.folder, {kArchive});
  if ((taken.empty() && others.empty()) || read_record(request.folder)) return;
  throw UserError(fmt::format(
      "{} holds images, but no {} of this version that says what they depend on, so they cannot be "
      "continued. Choose another --out.",
      request.folder.string(), kRecord));
}

void require_same_settings(const fs::path& folder, const Settings& found, const Settings& wanted) {
  const auto value_in = [](const Settings& settings, const std::string& name) {
    const auto at = std::ranges::find(settings, name, &Settings::value_type::first);
    return at == settings.end() ? std::string("not set") : "'" + at->second + "'";
  };
  std::vector<std::string> names;
  for (const auto* settings : {&wanted, &found})
    for (const auto& [name, value] : *settings)
      if (!contains(names, name)) names.push_back(name);
  Problems problems;
  for (const auto& name : names)
    if (const auto was = value_in(found, name), is = value_in(wanted, name); was != is)
      problems.add(fmt::format("{} was {}, is {}", name, was, is));
  problems.throw_if_any(
      folder.string() +
      " holds images of other settings (give the same ones, choose another --out, or replace them with "
      "--overwrite)");
}

OwnNames own_names() {
  return {
      .files = {R"([0-9]{4,}\.png)", R"(grid\.png)", R"(index\.html)", R"(sample\.json)", R"(samples\.npz)"}};
}

// What a killed call has left; of a suite also in the folders below, where names are made of ids.
void remove_leftovers_of(const FolderRequest& request, const fs::path& folder) {
  remove_leftovers(folder, own_names());
  if (!request.name_of) return;
  std::map<fs::path, std::set<std::string>> names;  // of files, by their folder
  const auto add = [&](const fs::path& path) { names[path.parent_path()].insert(path.filename()); };
  for (int64_t i = 0; i < request.num_images; ++i) add(image_name(i, request));
  for (const auto& path : request.side_files) add(path);
  for (const auto& [below, own] : names)
    remove_leftovers(folder / below,
                     {.is_file = [&files = own](const std::string& name) { return files.contains(name); }});
}

FileLock lock_of(const fs::path& folder) {
  if (auto lock = FileLock::try_lock(folder)) return std::move(*lock);
  throw UserError(folder.string() + ": another process draws into this folder.", ExitCode::kFolderOwned);
}

// What is wrong with the file of an image that a folder of the same settings holds; "" if nothing is.
std::string fault_of(const fs::path& path, const PngText& text) {
  try {
    return formats::read_png_text(path) == text ? "" : path.string() + " is another image; move it away";
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kBadInput) throw;
    return fmt::format("{} Delete it, and it is drawn again", error.what());
  }
}

}  // namespace

void check_folder(const FolderRequest& request) {
  if (request.folder.empty() || !fs::exists(request.folder)) return;
  if (!fs::is_directory(request.folder))
    throw UserError(fmt::format("--out {} is not a folder.", request.folder.string()));
  check_folder(request, names_in(request, request.folder));
}

ImageFolder::ImageFolder(const FolderRequest& request, const Settings& settings,
                         std::function<PngText(int64_t)> text_of)
    : path_(request.folder),
      out_(request.out),
      text_of_(std::move(text_of)),
      name_of_(request.name_of),
      is_there_(size_t(request.num_images)) {
  if (path_.empty())
    path_ = create_numbered_folder(kDefaultParent);
  else
    create_folders(path_);
  lock_.emplace(lock_of(path_));
  if (!request.folder.empty()) check_folder(request);
  wants_page_ = request.with_page || is_our_page(path_ / kPage);
  const auto found = request.existing == Existing::kResume ? read_record(path_) : std::nullopt;
  if (found) require_same_settings(path_, *found, settings);
  remove_leftovers_of(request, path_);
  if (found)
    resume(request);
  else
    begin(request, settings);
}

ImageFolder ImageFolder::of_another_rank(const FolderRequest& request, const std::string& there,
                                         std::function<PngText(int64_t)> text_of) {
  PIXART_CHECK(int64_t(there.size()) == request.num_images, "{} images, not {}", there.size(),
               request.num_images);
  ImageFolder folder;
  folder.path_ = request.folder;
  folder.out_ = request.out;
  folder.text_of_ = std::move(text_of);
  folder.name_of_ = request.name_of;
  folder.is_there_.assign(there.begin(), there.end());
  folder.num_there_ = std::ranges::count(folder.is_there_, char(true));
  return folder;
}

// Removes what is replaced before the new settings are written: a later call takes each image that it finds for
// one of these settings.
void ImageFolder::begin(const FolderRequest& request, const Settings& settings) {
  const auto names = names_in(request, path_);
  const auto taken = taken_names(names, request), others = other_images(names, taken);
  for (const auto& name : taken)
    if (name != kRecord && !delete_file(path_ / name))
      throw UserError(fmt::format("cannot delete {}.", (path_ / name).string()), ExitCode::kStorage);
  if (!others.empty()) log::warning("{} keeps images of other names: {}", path_.string(), name_some(others));
  if (contains(taken, std::string(kArchive)) && !request.with_archive)
    log::warning("{} of the former images is deleted; --npz writes that of the new ones",
                 (path_ / kArchive).string());
  if (names.count(kArchive) > 0 && !contains(taken, std::string(kArchive)))
    log::warning("{} is kept, because pixart sample did not write it: it is not made of these images",
                 (path_ / kArchive).string());
  write_record(path_, settings);
}

void ImageFolder::resume(const FolderRequest& request) {
  const auto names = names_in(request, path_);
  std::vector<std::string> faults(is_there_.size());
  for_each_in_parallel(size(), [&](int64_t i) {
    if (names.count(name(i)) == 0) return;
    is_there_[size_t(i)] = true;
    faults[size_t(i)] = fault_of(path_ / name(i), text_of_(i));
  });
  Problems problems;
  for (const auto& fault : faults)
    if (!fault.empty()) problems.add(fault);
  problems.throw_if_any(path_.string() + " cannot be continued");
  num_there_ = std::ranges::count(is_there_, char(true));
}

std::string ImageFolder::name(int64_t i) const { return name_of_ ? name_of_(i) : image_name(i, size()); }

void ImageFolder::look_again() {
  std::error_code error;  // an image that cannot be seen counts as missing
  for (int64_t i = 0; i < size(); ++i) is_there_[size_t(i)] = fs::exists(path_ / name(i), error);
  num_there_ = std::ranges::count(is_there_, char(true));
}

void ImageFolder::save(int64_t i, const Image& image) {
  create_folders((path_ / name(i)).parent_path());
  formats::save_png(path_ / name(i), image, text_of_(i));
  if (!is_there(i)) ++num_there_;
  is_there_[size_t(i)] = true;
}

}  // namespace pixart::sample
