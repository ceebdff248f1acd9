#include "pixart/sample/image_set.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>
#include <thread>

#include "image_writer.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/base/utf8.h"
#include "pixart/base/version.h"
#include "pixart/convert/stated_process.h"
#include "pixart/data/transform.h"
#include "pixart/distributed/agreement.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/npz_bytes.h"
#include "pixart/run/stopped.h"

namespace pixart::sample {
namespace fs = std::filesystem;

namespace {

fs::path without_last_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

// A path for files that are given to others.
std::string shareable(const fs::path& path) {
  if (path.empty()) return {};
  const fs::path own = without_last_slash(path);
  const bool is_inside = own.is_relative() && own != "." && *own.begin() != "..";
  return is_inside ? own.string() : without_last_slash(fs::absolute(path)).filename().string();
}

// How many images are drawn together.
int64_t group_size(const ImageSet& set) { return set.options.one_by_one ? 1 : set.options.batch_size; }

int64_t tile_size(const Pipeline& pipeline, const ImageSet& set, const DrawRequest& request) {
  const auto [height, width] = pipeline.size_of(request);
  return tile_size_of(set.options.tile_size, pipeline.codec().config(), height, width);
}

// What the images of one size have in common, except for the precision.
PngText common_text(const Pipeline& pipeline, const ImageSet& set, const DrawRequest& request) {
  const auto& origin = pipeline.origin();
  const auto [height, width] = pipeline.size_of(request);
  PngText text = {{"negative_prompt", set.draw.negative_prompt},
                  {"seed", std::to_string(set.options.seed)},
                  {"height", std::to_string(height)},
                  {"width", std::to_string(width)},
                  {"model", shareable(origin.path)},
                  {"model_sha256", pipeline.weights_sha256()},
                  {"stage", origin.stage},
                  {"step", std::to_string(origin.step)},
                  {"weights", origin.ema ? "average" : "live"},
                  {"vae", shareable(origin.vae)},
                  {"text_encoder", shareable(origin.text_encoder)},
                  {"sampler", set.options.sampler},
                  {"num_steps", std::to_string(set.options.num_steps)},
                  {"guidance", fmt::format("{}", set.options.guidance)},
                  {"software", producer()}};
  // Images without it are of the published process.
  const std::string process = convert::process_text(pipeline.process());
  if (process != convert::process_text(diffusion::Process{})) text["process"] = process;
  if (!origin.preview_decoder.empty()) text["preview_decoder"] = shareable(origin.preview_decoder);
  if (const auto& control = set.draw.control; !control.image.empty()) {
    text["control"] = shareable(control.image);
    text["control_sha256"] = formats::sha256_of_file(control.image);
    text["control_strength"] = fmt::format("{}", control.strength);
    text["control_image"] = pipeline.control_image_of(control).name();
  }
  return text;
}

}  // namespace

std::string hash_of_prompts(const std::vector<std::string>& prompts) {
  formats::Sha256 hash;
  for (const auto& prompt : prompts) {
    hash.add(std::to_string(prompt.size()) + "\n");
    hash.add(prompt);
  }
  return hash.hex();
}

Settings settings_of(const Pipeline& pipeline, const ImageSet& set) {
  Settings settings = {
      {"prompts_sha256", set.suite ? set.suite->sha256() : hash_of_prompts(set.draw.prompts)},
      {"prompts", std::to_string(set.suite ? set.suite->items.size() : set.draw.prompts.size())},
      {"count", std::to_string(set.suite ? set.suite->count : set.count)},
      {"first_index", std::to_string(set.options.first_index)},
      {"precision", word_of(pipeline.precision())},
      {"batch", std::to_string(group_size(set))},
      {"tile_size", std::to_string(tile_size(pipeline, set, set.draw))},
      {"device", at::DeviceTypeName(pipeline.device().type(), /*lower_case=*/true)}};
  if (set.suite) settings.emplace_back("suite", word_of(set.suite->kind));
  for (const auto& [name, value] : common_text(pipeline, set, set.draw)) settings.emplace_back(name, value);
  for (const auto& input : pipeline.inputs()) settings.emplace_back("input " + input.name, input.value);
  for (auto& [name, value] : settings) value = replace_invalid_utf8(value);  // paths may be anything
  return settings;
}

PngText text_of(const Pipeline& pipeline, const ImageSet& set, int64_t i) {
  const DrawRequest request = set.size_of(i);
  PngText text = common_text(pipeline, set, request);
  text["prompt"] = set.prompt(i);
  const NoiseKey noise = set.noise_key(i, 0);
  text["seed"] = std::to_string(noise.seed);
  text["index"] = std::to_string(noise.index);
  if (set.suite) text["id"] = set.suite->item(i).id;
  if (set.images_per_file() > 1) text["images"] = std::to_string(set.images_per_file());
  // Images without it are of float32.
  if (pipeline.precision() != run::Precision::kFloat32) text["precision"] = word_of(pipeline.precision());
  // Images without it were decoded at once.
  if (const int64_t tile = tile_size(pipeline, set, request); tile > 0)
    text["tile_size"] = std::to_string(tile);
  return text;
}

namespace {

// Files that are drawn together.
struct Group {
  int64_t first, count;
};

bool lacks_one(const ImageFolder& folder, const Group& group) {
  for (int64_t i = group.first; i < group.first + group.count; ++i)
    if (!folder.is_there(i)) return true;
  return false;
}

bool have_one_size(const ImageSet& set, int64_t i, int64_t j) {
  const DrawRequest one = set.size_of(i), other = set.size_of(j);
  return one.height == other.height && one.width == other.width;
}

// Of the groups that lack an image, those that this rank draws. Groups depend on the set alone, because the
// bits of an image may depend on the images that it is drawn with.
std::vector<Group> own_groups(const ImageSet& set, const ImageFolder& folder,
                              const distributed::Communicator& ranks) {
  const int64_t most = std::max<int64_t>(1, group_size(set) / set.images_per_file());
  std::vector<Group> own;
  int64_t number = 0;  // of groups that lack an image
  for (int64_t first = 0, count = 0; first < folder.size(); first += count) {
    for (count = 1; count < most && first + count < folder.size(); ++count)
      if (!have_one_size(set, first, first + count)) break;
    if (!lacks_one(folder, {first, count})) continue;
    if (number++ % ranks.world_size() == ranks.rank()) own.push_back({first, count});
  }
  return own;
}

// Collects the images of a file.
Image together(std::vector<Image>& images) {
  constexpr int kColumns = 2;
  Image file = images.size() == 1 ? std::move(images.front()) : data::make_grid(images, kColumns, /*gap=*/0);
  images.clear();
  return file;
}

// Keeps the host near a GPU, so that it sees a request to stop in time, while the GPU always has work: of
// three marks in its stream, the first has to be passed before the host goes on.
class RunAhead {
 public:
  explicit RunAhead(at::Device device) : device_(device) {}

  // Marks the end of the work so far. Returns early if `stop` says so.
  void mark(const std::function<bool()>& stop) {
    if (!device_.is_cuda()) return;
    marks_.emplace_back(device_.type())
        .record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
    if (marks_.size() <= kMostMarks) return;
    while (!marks_.front().query() && !stop()) std::this_thread::sleep_for(kPause);
    marks_.pop_front();
  }

 private:
  static constexpr size_t kMostMarks = 2;
  static constexpr std::chrono::milliseconds kPause{1};
  at::Device device_;
  std::deque<c10::Event> marks_;
};

void draw_group(const Pipeline& pipeline, const ImageSet& set, const Group& group,
                const std::function<bool()>& asked_to_stop, const std::function<void(int64_t, Image)>& save) {
  const int64_t per_file = set.images_per_file();
  DrawRequest request = set.size_of(group.first);
  for (int64_t j = 0; j < group.count * per_file; ++j)
    request.prompts.push_back(set.prompt(group.first + j / per_file));
  GenerateOptions options = set.options;
  options.noise_key = [&](int64_t j) { return set.noise_key(group.first + j / per_file, j % per_file); };
  RunAhead run_ahead(pipeline.device());
  options.asked_to_stop = [&] {
    run_ahead.mark(asked_to_stop);
    return asked_to_stop();
  };
  std::vector<Image> of_file;
  options.take = [&](int64_t j, const Image& image) {
    of_file.push_back(image);
    if (int64_t(of_file.size()) == per_file) save(group.first + j / per_file, together(of_file));
  };
  pipeline.generate(request, options);
}

std::string how_to_continue(const ImageFolder& folder) {
  return fmt::format("{} of {} images are in {}. The same command with --out {} --resume draws the others.",
                     folder.num_there(), folder.size(), folder.path().string(), folder.out().string());
}

// Returns whether a rank was asked to stop.
bool draw_together(const Pipeline& pipeline, const ImageSet& set, ImageFolder& folder,
                   distributed::Communicator& ranks) {
  const auto groups = own_groups(set, folder, ranks);
  const bool is_alone = ranks.world_size() == 1;
  int64_t total = folder.size(), done = folder.num_there();
  if (!is_alone) {  // the share of this rank, which takes as long as that of the others
    total = done = 0;
    for (const auto& group : groups)
      for (int64_t i = group.first; i < group.first + group.count; ++i) total += folder.is_there(i) ? 0 : 1;
  }
  Progress progress(is_alone ? "draw" : fmt::format("draw, rank {} of {}", ranks.rank(), ranks.world_size()),
                    total, "image", done);
  ImageWriter writer([&](int64_t i, const Image& image) {
    folder.save(i, image);
    progress.update(++done);
  });
  const auto save = [&](int64_t i, Image image) {
    if (!folder.is_there(i)) writer.add(i, std::move(image));
  };
  return distributed::together_until(ranks, "drawing images", stop_requested,
                                     [&](const std::function<bool()>& asked) {
                                       for (const auto& group : groups) {
                                         if (asked()) break;
                                         draw_group(pipeline, set, group, asked, save);
                                       }
                                       writer.finish();
                                     });
}

}  // namespace

int64_t ImageSet::size() const { return suite ? suite->num_files() : int64_t(draw.prompts.size()) * count; }

const std::string& ImageSet::prompt(int64_t i) const {
  return suite ? suite->item(i).prompt : draw.prompts[size_t(i / count)];
}

NoiseKey ImageSet::noise_key(int64_t i, int64_t k) const {
  if (suite) return suite->noise_key(i, k, options.seed);
  return {options.seed, options.first_index + i};
}

DrawRequest ImageSet::size_of(int64_t i) const {
  DrawRequest request = draw;
  request.prompts.clear();
  if (!suite || suite->item(i).height == 0) return request;
  request.height = suite->item(i).height;
  request.width = suite->item(i).width;
  return request;
}

void check(const Pipeline& pipeline, const ImageSet& set) {
  if (!set.suite) return pipeline.check(set.draw);
  Problems problems;
  std::set<std::pair<int, int>> good_sizes;
  std::set<std::string> good_prompts;
  const int64_t files = set.suite->files_per_item();
  for (int64_t i = 0; i < set.size(); i += files) {
    DrawRequest request = set.size_of(i);
    if (!pipeline.has_text_encoder()) request.prompts = {set.prompt(i)};
    const std::pair size(request.height, request.width);
    if (good_sizes.contains(size) && (request.prompts.empty() || good_prompts.contains(set.prompt(i))))
      continue;
    try {
      pipeline.check(request);
      good_sizes.insert(size);
      good_prompts.insert(request.prompts.begin(), request.prompts.end());
    } catch (const UserError& error) {
      problems.add(fmt::format("{}: {}", set.suite->item(i).place, error.what()));
    }
  }
  problems.throw_if_any("the suite does not fit the model");
}

void draw_missing(const Pipeline& pipeline, const ImageSet& set, ImageFolder& folder,
                  distributed::Communicator& ranks) {
  bool is_stopped = false;
  try {
    is_stopped = draw_together(pipeline, set, folder, ranks);
  } catch (...) {
    folder.look_again();
    if (ranks.rank() == 0) log::warning("{}", how_to_continue(folder));
    throw;
  }
  folder.look_again();
  if (is_stopped) throw UserError("stopped on request: " + how_to_continue(folder), ExitCode::kRequeue);
}

int64_t write_grid(const ImageFolder& folder, const ImageSet& set, int columns) {
  constexpr int64_t kMostPixels = int64_t{1} << 26;
  constexpr int kLeastSide = 128;  // smaller images are enlarged
  constexpr int64_t kMostImages = 400;
  std::vector<Image> images = {formats::load_image(folder.path() / folder.name(0))};
  const int scale = std::max(1, kLeastSide / std::max(1, images.front().width));
  const int64_t pixels = int64_t(images.front().height) * images.front().width * scale * scale;
  const int64_t count = std::clamp<int64_t>(kMostPixels / pixels, 1, std::min(kMostImages, folder.size()));
  std::vector<std::string> captions;
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) images.push_back(formats::load_image(folder.path() / folder.name(i)));
    captions.push_back(set.prompt(i));
  }
  formats::save_png(folder.path() / "grid.png", data::make_captioned_grid(images, captions, columns, scale));
  return count;
}

void check_archive(const Pipeline& pipeline, const ImageSet& set) {
  if (set.images_per_file() > 1)
    throw UserError("--npz has no effect with grids of images: draw one image of each prompt (--count 1).");
  const auto [height, width] = pipeline.size_of(set.size_of(0));
  for (int64_t i = 1; i < set.size(); ++i) {
    const auto [own_height, own_width] = pipeline.size_of(set.size_of(i));
    if (own_height != height || own_width != width)
      throw UserError(
          fmt::format("--npz needs images of one size; the suite has {} x {} and {} x {}. Draw without it.",
                      height, width, own_height, own_width));
  }
}

void write_archive(const Pipeline& pipeline, const ImageSet& set, const ImageFolder& folder,
                   distributed::Communicator& ranks) {
  const auto [height, width] = pipeline.size_of(set.size_of(0));
  const auto read = [&](int64_t i) {
    Image image = formats::load_image(folder.path() / folder.name(i));
    if (image.height != height || image.width != width)
      throw UserError(
          fmt::format("{} has {} x {} pixels, not {} x {}. Delete it, and --resume draws it again.",
                      (folder.path() / folder.name(i)).string(), image.height, image.width, height, width));
    return image;
  };
  distributed::together_until(
      ranks, std::string("writing ") + kArchive, stop_requested, [&](const std::function<bool()>& asked) {
        if (ranks.rank() != 0) return;
        Progress progress(std::string("write ") + kArchive, folder.size(), "image");
        formats::save_npz_of_bytes(
            folder.path() / kArchive, {folder.size(), height, width, 3}, [&](const formats::TakeBytes& take) {
              for (int64_t i = 0; i < folder.size(); ++i) {
                if (asked()) throw run::stopped(std::string("before ") + kArchive + " was written");
                const Image image = read(i);
                take({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()});
                progress.update(i + 1);
              }
            });
      });
}

}  // namespace pixart::sample
