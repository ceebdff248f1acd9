#include "sample_drawing.h"

#include <algorithm>
#include <memory>

#include "pixart/base/cache_folder.h"
#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/own_kernels.h"
#include "pixart/base/words.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/distributed/agreement.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/run/stopped.h"
#include "sample_gallery.h"

namespace pixart::tools {
namespace fs = std::filesystem;

double aspect_of(const std::string& text) {
  const size_t colon = text.find(':');
  char *end = nullptr, *end_of_second = nullptr;
  const double first = std::strtod(text.c_str(), &end);
  const double second =
      colon == std::string::npos ? 1 : std::strtod(text.c_str() + colon + 1, &end_of_second);
  const bool whole =
      colon == std::string::npos ? *end == '\0' : end == text.c_str() + colon && *end_of_second == '\0';
  if (!whole || !(first > 0) || !(second > 0))
    throw UserError(fmt::format("--aspect {}: expected width over height, such as 16:9 or 1.5.", text));
  return first / second;
}

namespace {

void choose_size(SampleArguments& arguments, const sample::Pipeline& pipeline) {
  if (arguments.aspect.empty()) return;
  const int own = pipeline.own_side();
  if (!data::has_aspect_buckets(own))
    throw UserError(fmt::format(
        "--aspect needs a model of one of the resolutions {0}; this one generates {1} x {1}. Give "
        "--height and --width.",
        data::aspect_bucket_resolutions(), own));
  const auto& buckets = data::aspect_buckets(own);
  const double ratio = aspect_of(arguments.aspect);
  const auto& bucket = buckets[data::nearest_bucket(buckets, int(1000), int(1000 * ratio))];
  arguments.set.draw.height = bucket.height;
  arguments.set.draw.width = bucket.width;
}

// Throws unless the repeated image was made with these weights.
void require_same_model(const SampleArguments& arguments, const sample::Pipeline& pipeline) {
  if (arguments.from_image.empty()) return;
  const auto text = formats::read_png_text(arguments.from_image);
  const auto hash = text.find("model_sha256");
  if (hash != text.end() && !pipeline.has_weights(hash->second))
    throw UserError(fmt::format("{} was made with other weights than {} (SHA-256 {} then, {} now).",
                                arguments.from_image.string(), pipeline.origin().weights.string(),
                                hash->second.substr(0, 19), pipeline.weights_sha256().substr(0, 19)));
}

// What was not asked for is as the model wants it.
void choose_sampler(SampleArguments& arguments, const sample::Pipeline& pipeline) {
  const auto usual = diffusion::default_sampler(pipeline.process());
  auto& options = arguments.set.options;
  options.sampler = arguments.sampler.value_or(usual.sampler);
  options.num_steps = arguments.num_steps.value_or(usual.num_steps);
  options.guidance = arguments.guidance.value_or(usual.guidance);
  if (pipeline.process().consistency &&
      (options.sampler != usual.sampler || options.guidance != usual.guidance))
    log::warning("this model is distilled for sampler {} and guidance {}; it is asked to draw with {} and {}",
                 usual.sampler, usual.guidance, options.sampler, options.guidance);
}

void require_fitting_sampler(const SampleArguments& arguments, const sample::Pipeline& pipeline) {
  const auto problem =
      diffusion::sampler_problem(arguments.set.options.sampler, pipeline.process().prediction);
  if (!problem.empty()) throw UserError(problem + ".");
}

// "" if the environment names no cache folder.
fs::path prompt_cache() {
  const fs::path base = user_cache_folder();
  return base.empty() ? base : base / "prompts";
}

sample::Pipeline open_pipeline(SampleArguments& arguments) {
  if (arguments.step >= 0) arguments.request.step = arguments.step;
  if (!arguments.no_cache) arguments.request.prompt_cache = prompt_cache();
  auto pipeline = sample::Pipeline::open(arguments.request);
  pipeline.begin_hash();
  return pipeline;
}

void write_gallery(const sample::ImageFolder& folder) {
  constexpr int64_t kMost = 2000;  // a browser reads no page of any length
  std::vector<GalleryImage> images;
  for (int64_t i = 0; i < std::min(kMost, folder.size()); ++i)
    images.push_back({folder.name(i), folder.text(i)});
  write_file_atomically(folder.path() / "index.html", gallery_page(images, folder.size()));
}

// Writes what shows all images, and says what there is. Suites have the files that their programs read.
void finish(const sample::Pipeline& pipeline, const SampleArguments& arguments,
            const sample::ImageFolder& folder) {
  const bool has_grid = !arguments.set.suite;
  const int64_t shown = has_grid ? sample::write_grid(folder, arguments.set, int(arguments.columns)) : 0;
  if (folder.wants_page()) write_gallery(folder);
  if (pipeline.has_text_encoder() && !pipeline.loaded_text_encoder() &&
      !arguments.request.prompt_cache.empty())
    log::info("the text encoder was not needed: the prompts' features are in {}",
              arguments.request.prompt_cache.string());
  const auto& origin = pipeline.origin();
  std::vector<std::string> others;
  if (has_grid)
    others.push_back(shown < folder.size() ? fmt::format("grid.png of the first {}", shown) : "grid.png");
  if (folder.wants_page()) others.emplace_back("index.html");
  if (arguments.npz) others.emplace_back(sample::kArchive);
  log::info("{} images of {}{} in {}", folder.size(),
            origin.stage.empty() ? origin.weights.string()
                                 : fmt::format("stage {}, step {}", origin.stage, origin.step),
            others.empty() ? "" : ", and " + join(others, " and "), folder.path().string());
}

// Opens the model and completes and checks what it draws.
sample::Pipeline prepare(SampleArguments& arguments) {
  auto pipeline = open_pipeline(arguments);
  require_same_model(arguments, pipeline);
  choose_sampler(arguments, pipeline);
  require_fitting_sampler(arguments, pipeline);
  choose_size(arguments, pipeline);
  auto& set = arguments.set;
  use_own_kernels(pipeline.run().kernels == run::Kernels::kFused);
  if (arguments.exact || pipeline.run().numerics == run::Numerics::kExact) set.options.one_by_one = true;
  if (set.suite && set.suite->kind == sample::SuiteKind::kClasses) {
    auto suite = std::make_shared<sample::Suite>(*set.suite);
    sample::set_classes(*suite, pipeline.class_names());
    set.suite = suite;
  }
  sample::check(pipeline, set);
  if (arguments.npz) sample::check_archive(pipeline, set);
  return pipeline;
}

void write_side_files(const sample::ImageFolder& folder, const sample::ImageSet& set) {
  if (!set.suite) return;
  for (const auto& file : sample::side_files(*set.suite)) {
    const fs::path path = folder.path() / file.path;
    if (fs::exists(path)) continue;
    create_folders(path.parent_path());
    write_file_atomically(path, file.content);
  }
}

// Rank 0 opens the folder for all ranks.
sample::ImageFolder open_folder(const sample::Pipeline& pipeline, const SampleArguments& arguments,
                                distributed::Communicator& ranks) {
  const char* phase = "opening the folder of images";
  const auto& set = arguments.set;
  const auto text_of = [&](int64_t i) { return sample::text_of(pipeline, set, i); };
  std::optional<sample::ImageFolder> folder;
  distributed::on_first_rank(ranks, phase, [&] {
    folder.emplace(arguments.folder, sample::settings_of(pipeline, set), text_of);
    write_side_files(*folder, set);
  });
  if (ranks.world_size() == 1) return std::move(*folder);
  sample::FolderRequest request = arguments.folder;
  request.folder = distributed::broadcast_string(ranks, folder ? folder->path().string() : "", 0, phase);
  const std::string there = distributed::broadcast_string(ranks, folder ? folder->there() : "", 0, phase);
  if (folder) return std::move(*folder);
  return sample::ImageFolder::of_another_rank(request, there, text_of);
}

void draw_all(SampleArguments& arguments, distributed::Communicator& ranks) {
  std::unique_ptr<const sample::Pipeline> pipeline;
  distributed::all_together(ranks, "opening the model", [&] {
    pipeline = std::make_unique<const sample::Pipeline>(prepare(arguments));
    pipeline->weights_sha256();  // of which all texts of images speak
  });
  if (ranks.world_size() == 1 && stop_requested()) throw run::stopped("before the first image was drawn");
  auto folder = open_folder(*pipeline, arguments, ranks);
  sample::draw_missing(*pipeline, arguments.set, folder, ranks);
  if (arguments.npz) sample::write_archive(*pipeline, arguments.set, folder, ranks);
  distributed::on_first_rank(ranks, "writing the grid", [&] { finish(*pipeline, arguments, folder); });
}

// The arguments for each kind of weights: of both, each has a folder of its own.
std::vector<SampleArguments> for_each_weights(const SampleArguments& arguments) {
  std::vector<SampleArguments> all;
  for (const Weights weights : {Weights::kEma, Weights::kLive}) {
    if (arguments.weights != weights && arguments.weights != Weights::kBoth) continue;
    SampleArguments own = arguments;
    own.request.ema = weights == Weights::kEma;
    if (arguments.weights == Weights::kBoth) {
      own.folder.out = own.folder.folder;
      own.folder.folder /= word_of(weights);
    }
    all.push_back(std::move(own));
  }
  return all;
}

}  // namespace

void draw(SampleArguments& arguments) {
  const auto launch = distributed::launch_from_environment();
  if (launch.rank != 0) log::set_terminal_level(log::Level::kWarning);
  const auto ranks = distributed::make_communicator(launch, at::Device(at::kCPU),
                                                    distributed::communicator_options_from_environment());
  arguments.request.local_rank = launch.local_rank;
  arguments.request.local_ranks = launch.local_world_size;
  auto all = for_each_weights(arguments);
  distributed::on_first_rank(*ranks, "looking at the folder of images", [&] {
    for (const auto& own : all) sample::check_folder(own.folder);
  });
  for (auto& own : all) draw_all(own, *ranks);
}

}  // namespace pixart::tools
