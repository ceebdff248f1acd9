#include <algorithm>
#include <memory>

#include "commands.h"
#include "pixart/base/cache_folder.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/convert/stated_process.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/run/stopped.h"
#include "pixart/sample/image_set.h"
#include "pixart/sample/pipeline.h"
#include "sample_gallery.h"
#include "sample_prompts.h"
#include "sample_recipe.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct Arguments {
  sample::PipelineRequest request;
  sample::ImageSet set;
  sample::FolderRequest folder;
  std::string prompt_file, aspect;
  fs::path from_image;
  int64_t columns = 8, step = -1;
  bool live_weights = false, exact = false, no_cache = false, overwrite = false, resume = false;
  std::optional<diffusion::Prediction> prediction;
  bool zero_terminal_snr = false;
  double shift = 0;  // 0: that of the training
};

// "16:9" or "1.78" as width over height.
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

using Text = sample::PngText;

const std::string& value_of(const Text& text, const char* key, const fs::path& image) {
  const auto found = text.find(key);
  if (found == text.end())
    throw UserError(
        fmt::format("{} has no '{}' in its PNG text: only images of pixart sample can be generated again.",
                    image.string(), key));
  return found->second;
}

// Takes the model of the image. An image names it by the path that was given, if this was inside the working
// directory, or by its last name; images of earlier versions, by the whole path.
void read_model(const Text& text, Arguments& arguments) {
  const auto value = [&](const char* key) { return value_of(text, key, arguments.from_image); };
  Problems missing;
  const auto choose = [&](fs::path& path, const char* key, const std::string& remedy) {
    if (path.empty()) path = value(key);
    if (!path.empty() && !fs::exists(path))
      missing.add(fmt::format("its {} '{}' is not here: {}", key, path.string(), remedy));
  };
  choose(arguments.request.path, "model",
         fmt::format("give MODEL (SHA-256 of its weights: {})", value("model_sha256")));
  choose(arguments.request.vae, "vae", "give --vae");
  choose(arguments.request.text_encoder, "text_encoder", "give --text-encoder");
  missing.throw_if_any(arguments.from_image.string());
  arguments.request.stage = value("stage");
  if (!arguments.request.stage.empty()) arguments.step = std::stoll(value("step"));
  arguments.live_weights = value("weights") == "live";
}

// Images without it are of the published process. A run's stage says the prediction itself.
void read_process(const Text& text, Arguments& arguments) {
  const auto found = text.find("process");
  const auto stated = found == text.end()
                          ? std::nullopt
                          : convert::parse_process(found->second, arguments.from_image.string());
  const auto process = stated.value_or(diffusion::Process{});
  if (value_of(text, "stage", arguments.from_image).empty()) arguments.request.process = process;
  if (process.is_flow()) arguments.request.shift = process.shift;
}

// Reads how the image was made from the text in its PNG.
void read_recipe(Arguments& arguments) {
  const auto text = formats::read_png_text(arguments.from_image);
  const auto value = [&](const char* key) { return value_of(text, key, arguments.from_image); };
  auto& [draw, count, options] = arguments.set;
  draw.prompts = {value("prompt")};
  draw.negative_prompt = value("negative_prompt");
  draw.height = std::stoi(value("height"));
  draw.width = std::stoi(value("width"));
  options.seed = std::stoull(value("seed"));
  options.first_index = std::stoll(value("index"));
  options.sampler = value("sampler");
  options.num_steps = std::stoll(value("num_steps"));
  options.guidance = std::stod(value("guidance"));
  options.one_by_one = true;
  const auto precision = text.find("precision");
  arguments.request.precision = precision == text.end()
                                    ? run::Precision::kFloat32
                                    : enum_of_word<run::Precision>(precision->second, "precision");
  read_process(text, arguments);
  if (arguments.request.path.empty()) read_model(text, arguments);
}

void repeat(Arguments& arguments) {
  check_recipe(formats::read_png_text(arguments.from_image), arguments.from_image);
  try {
    read_recipe(arguments);
  } catch (const std::logic_error&) {  // of std::stoi and similar functions
    throw UserError(fmt::format("{}: a number in its PNG text is not valid.", arguments.from_image.string()));
  }
}

// The prompts of a file were checked when it was read.
void require_text(const sample::DrawRequest& draw) {
  for (const auto& prompt : draw.prompts)
    if (!is_utf8(prompt)) throw UserError(fmt::format("prompt '{}' is not UTF-8.", prompt));
  if (!is_utf8(draw.negative_prompt)) throw UserError("--negative is not UTF-8.");
}

// The options about what the model predicts. They win over an image's text.
void choose_process(Arguments& arguments) {
  if (arguments.shift > 0) arguments.request.shift = arguments.shift;
  if (!arguments.prediction) return;
  diffusion::Process process;
  process.prediction = *arguments.prediction;
  process.zero_terminal_snr = arguments.zero_terminal_snr;
  const bool has_signal = process.prediction == diffusion::Prediction::kEpsilon || process.is_flow();
  if (process.zero_terminal_snr && has_signal)
    throw UserError("--zero-terminal-snr is for --prediction v and x_start.");
  arguments.request.process = process;
}

void check(Arguments& arguments) {
  if (!arguments.from_image.empty()) repeat(arguments);
  choose_process(arguments);
  const auto known = diffusion::sampler_names();
  if (!contains(known, arguments.set.options.sampler))
    throw UserError(unknown_name("sampler", arguments.set.options.sampler, known));
  if (arguments.request.path.empty())
    throw UserError("no model: give a run folder, a pipeline folder or weights (or --from-image FILE).");
  if (!arguments.prompt_file.empty()) {
    for (auto& prompt : read_prompts(arguments.prompt_file))
      arguments.set.draw.prompts.push_back(std::move(prompt));
  }
  if (arguments.set.draw.prompts.empty())
    throw UserError(
        "no prompts: give prompts, or --prompts FILE with one prompt per line (- reads standard input).");
  if (!arguments.aspect.empty() && (arguments.set.draw.height > 0 || arguments.set.draw.width > 0))
    throw UserError("--aspect and --height, --width exclude each other.");
  if (!arguments.aspect.empty()) aspect_of(arguments.aspect);
  require_text(arguments.set.draw);
  arguments.folder.num_images = arguments.set.size();
  if (arguments.overwrite) arguments.folder.existing = sample::Existing::kReplace;
  if (arguments.resume) arguments.folder.existing = sample::Existing::kResume;
}

void choose_size(Arguments& arguments, const sample::Pipeline& pipeline) {
  if (arguments.aspect.empty()) return;
  const int own = pipeline.own_side();
  if (!data::has_aspect_buckets(own))
    throw UserError(
        fmt::format("--aspect needs a model of 256, 512 or 1024 pixels; this one generates {0} x {0}. Give "
                    "--height and --width.",
                    own));
  const auto& buckets = data::aspect_buckets(own);
  const double ratio = aspect_of(arguments.aspect);
  const auto& bucket = buckets[data::nearest_bucket(buckets, int(1000), int(1000 * ratio))];
  arguments.set.draw.height = bucket.height;
  arguments.set.draw.width = bucket.width;
}

// Throws unless the repeated image was made with these weights.
void require_same_model(const Arguments& arguments, const sample::Pipeline& pipeline) {
  if (arguments.from_image.empty()) return;
  const auto text = formats::read_png_text(arguments.from_image);
  const auto hash = text.find("model_sha256");
  if (hash != text.end() && !pipeline.has_weights(hash->second))
    throw UserError(fmt::format("{} was made with other weights than {} (SHA-256 {} then, {} now).",
                                arguments.from_image.string(), pipeline.origin().weights.string(),
                                hash->second.substr(0, 19), pipeline.weights_sha256().substr(0, 19)));
}

void require_fitting_sampler(const Arguments& arguments, const sample::Pipeline& pipeline) {
  const auto problem =
      diffusion::sampler_problem(arguments.set.options.sampler, pipeline.process().prediction);
  if (!problem.empty()) throw UserError(problem + ".");
}

// "" if the environment names no cache folder.
fs::path prompt_cache() {
  const fs::path base = user_cache_folder();
  return base.empty() ? base : base / "prompts";
}

sample::Pipeline open_pipeline(Arguments& arguments) {
  if (arguments.step >= 0) arguments.request.step = arguments.step;
  arguments.request.ema = !arguments.live_weights;
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

// Writes what shows all images, and says what there is.
void finish(const sample::Pipeline& pipeline, const Arguments& arguments, const sample::ImageFolder& folder) {
  const int64_t shown = sample::write_grid(folder, arguments.set, int(arguments.columns));
  if (folder.wants_page()) write_gallery(folder);
  if (pipeline.has_text_encoder() && !pipeline.loaded_text_encoder() &&
      !arguments.request.prompt_cache.empty())
    log::info("the text encoder was not needed: the prompts' features are in {}",
              arguments.request.prompt_cache.string());
  const auto& origin = pipeline.origin();
  log::info("{} images of {}, and grid.png{}{} in {}", folder.size(),
            origin.stage.empty() ? origin.weights.string()
                                 : fmt::format("stage {}, step {}", origin.stage, origin.step),
            shown < folder.size() ? fmt::format(" of the first {}", shown) : "",
            folder.wants_page() ? " and index.html" : "", folder.path().string());
}

void run(Arguments& arguments) {
  check(arguments);
  catch_stop_signals();  // not earlier: prompts may come from a terminal
  sample::check_folder(arguments.folder);
  const auto pipeline = open_pipeline(arguments);
  require_same_model(arguments, pipeline);
  require_fitting_sampler(arguments, pipeline);
  choose_size(arguments, pipeline);
  auto& set = arguments.set;
  if (arguments.exact || pipeline.run().numerics == run::Numerics::kExact) set.options.one_by_one = true;
  pipeline.check(set.draw);
  const auto settings = sample::settings_of(pipeline, set);
  if (stop_requested()) throw run::stopped("before the first image was drawn");
  sample::ImageFolder folder(arguments.folder, settings,
                             [&](int64_t i) { return sample::text_of(pipeline, set, i); });
  sample::draw_missing(pipeline, set, folder);
  finish(pipeline, arguments, folder);
}

void add_process_options(CLI::App& command, Arguments& arguments) {
  auto* prediction =
      command
          .add_option_function<std::string>(
              "--prediction",
              [&arguments](const std::string& word) {
                arguments.prediction = enum_of_word<diffusion::Prediction>(word, "prediction");
              },
              "what the model predicts, if its files do not say it; the published models: epsilon")
          ->check(CLI::IsMember(words_of_enum<diffusion::Prediction>()));
  command
      .add_flag("--zero-terminal-snr", arguments.zero_terminal_snr,
                "the model was trained with zero terminal SNR (v, x_start)")
      ->needs(prediction);
  command
      .add_option("--shift", arguments.shift,
                  "shift of a flow model's noise levels (default: that of its training)")
      ->check(CLI::Range(0.01, 100.0));
}

void add_options(CLI::App& command, Arguments& arguments) {
  command.add_option("MODEL", arguments.request.path,
                     "run folder, checkpoint folder, pipeline folder of diffusers, or weights in any layout");
  command.add_option("PROMPT", arguments.set.draw.prompts,
                     "captions (text model) or class names (class model)");
  command.add_option(
      "--prompts", arguments.prompt_file,
      "file with one prompt per line, or JSONL with a prompt, caption or text per line; - reads "
      "standard input");
  command.add_option("--negative", arguments.set.draw.negative_prompt,
                     "caption to steer away from (default: the model's null caption)");
  command.add_option("--from-image", arguments.from_image, "generate this image of pixart sample again");
  auto* out = command.add_option("--out", arguments.folder.folder,
                                 "folder for 0000.png, ... and grid.png (default: a new folder, "
                                 "samples/0001, samples/0002, ...)");
  auto* resume =
      command.add_flag("--resume", arguments.resume,
                       "draw the images that --out lacks, after the same command was stopped or killed; in "
                       "a folder without images it begins");
  command
      .add_flag("--overwrite", arguments.overwrite,
                "replace images of pixart sample in --out that have the same names")
      ->needs(out)
      ->excludes(resume);
  resume->needs(out);
  command.add_flag("--html", arguments.folder.with_page,
                   "also write index.html, a gallery that shows how each image was made");
  command.add_option("--stage", arguments.request.stage,
                     "stage of the run (default: the last text stage with a checkpoint)");
  command.add_option("--step", arguments.step, "checkpoint of this step (default: the newest)");
  command.add_option("--vae", arguments.request.vae,
                     "folder of the autoencoder, if MODEL has only transformer weights");
  command.add_option("--text-encoder", arguments.request.text_encoder,
                     "folder of the T5 encoder, if MODEL has only transformer weights");
  add_process_options(command, arguments);
  command
      .add_option("--sampler", arguments.set.options.sampler,
                  "one of " + join(diffusion::sampler_names(), ", "))
      ->capture_default_str();
  command.add_option("--steps", arguments.set.options.num_steps, "sampling steps")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      .add_option("--guidance", arguments.set.options.guidance, "classifier-free guidance; 1 turns it off")
      ->check(CLI::Range(1.0, 100.0))
      ->capture_default_str();
  command.add_option("--height", arguments.set.draw.height, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--width", arguments.set.draw.width, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--aspect", arguments.aspect,
                     "width over height, e.g. 16:9; takes the nearest official shape");
  command.add_option("--seed", arguments.set.options.seed, "seed of the noise")->capture_default_str();
  command.add_option("--count", arguments.set.count, "images per prompt")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command.add_option("--batch", arguments.set.options.batch_size, "images at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--numerics",
          [&arguments](const std::string& word) {
            arguments.exact = enum_of_word<run::Numerics>(word, "numerics") == run::Numerics::kExact;
          },
          "exact: one image at a time, so that the bits do not depend on --batch")
      ->check(CLI::IsMember(words_of_enum<run::Numerics>()));
  command
      .add_option_function<std::string>(
          "--precision",
          [&arguments](const std::string& word) {
            arguments.request.precision = enum_of_word<run::Precision>(word, "precision");
          },
          "type of the transformer's matrix products (default: that of the run's stage; float32 for other "
          "weights)")
      ->check(CLI::IsMember(words_of_enum<run::Precision>()));
  command
      .add_option("--decode-tile", arguments.set.options.decode_tile,
                  "largest side in latent pixels that is decoded at once; 0: no tiles")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_option("--columns", arguments.columns, "images per row of the grid")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command.add_option("--device", arguments.request.device, "auto, cpu, cuda, cuda:<i>")
      ->capture_default_str();
  command.add_flag("--no-cache", arguments.no_cache,
                   "encode all prompts without the cache in ${XDG_CACHE_HOME:-~/.cache}/pixart/prompts");
  command.add_flag("--live-weights", arguments.live_weights, "the trained weights instead of their EMA");
}

}  // namespace

void add_sample(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand("sample", "Generate images with a trained model.");
  add_options(*command, *arguments);
  command->footer(
      "Examples:\n  pixart sample runs/demo \"a red circle on a white background\" --count 4\n"
      "  pixart sample runs/demo --prompts prompts.txt --guidance 3 --out images --html\n"
      "  pixart sample runs/fashion --stage class Sneaker Bag\n"
      "  pixart sample PixArt-XL-2-1024-MS.pth --vae sd-vae --text-encoder t5 \"a cat\" --aspect 16:9\n"
      "  pixart sample --from-image images/0003.png --out again\n\n"
      "Each image is written when it is decoded. After a stop (exit code 75) or a kill, the same command with\n"
      "--out FOLDER --resume gives the same files.");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
