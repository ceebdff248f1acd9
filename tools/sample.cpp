#include <algorithm>
#include <memory>

#include "commands.h"
#include "pixart/base/cache_folder.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/progress.h"
#include "pixart/base/version.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/data/transform.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/sample/pipeline.h"
#include "sample_gallery.h"
#include "sample_prompts.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct Arguments {
  sample::PipelineRequest request;
  sample::DrawRequest draw;
  std::string prompt_file, aspect;
  fs::path out = "samples", from_image;
  sample::GenerateOptions options;
  int64_t count = 1, columns = 8, step = -1;
  bool live_weights = false, exact = false, html = false, no_cache = false;
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

// Reads how the image was made from the text in its PNG.
void read_recipe(Arguments& arguments) {
  const auto text = formats::read_png_text(arguments.from_image);
  const auto value = [&](const char* key) {
    const auto found = text.find(key);
    if (found == text.end())
      throw UserError(
          fmt::format("{} has no '{}' in its PNG text: only images of pixart sample can be generated again.",
                      arguments.from_image.string(), key));
    return found->second;
  };
  arguments.draw.prompts = {value("prompt")};
  arguments.draw.negative_prompt = value("negative_prompt");
  arguments.draw.height = std::stoi(value("height"));
  arguments.draw.width = std::stoi(value("width"));
  arguments.options.seed = std::stoull(value("seed"));
  arguments.options.first_index = std::stoll(value("index"));
  arguments.options.sampler = value("sampler");
  arguments.options.num_steps = std::stoll(value("num_steps"));
  arguments.options.guidance = std::stod(value("guidance"));
  arguments.options.one_by_one = true;
  const auto precision = text.find("precision");
  arguments.request.precision = precision == text.end()
                                    ? run::Precision::kFloat32
                                    : enum_of_word<run::Precision>(precision->second, "precision");
  if (arguments.request.path.empty()) {
    arguments.request.path = value("model");
    arguments.request.stage = value("stage");
    if (!arguments.request.stage.empty()) arguments.step = std::stoll(value("step"));
    arguments.request.vae = value("vae");
    arguments.request.text_encoder = value("text_encoder");
    arguments.live_weights = value("weights") == "live";
  }
}

void repeat(Arguments& arguments) {
  try {
    read_recipe(arguments);
  } catch (const std::logic_error&) {  // of std::stoi and similar functions
    throw UserError(fmt::format("{}: a number in its PNG text is not valid.", arguments.from_image.string()));
  }
}

void check(Arguments& arguments) {
  if (!arguments.from_image.empty()) repeat(arguments);
  const auto known = diffusion::sampler_names();
  if (!contains(known, arguments.options.sampler))
    throw UserError(unknown_name("sampler", arguments.options.sampler, known));
  if (arguments.request.path.empty())
    throw UserError("no model: give a run folder, a pipeline folder or weights (or --from-image FILE).");
  if (!arguments.prompt_file.empty()) {
    for (auto& prompt : read_prompts(arguments.prompt_file))
      arguments.draw.prompts.push_back(std::move(prompt));
  }
  if (arguments.draw.prompts.empty())
    throw UserError(
        "no prompts: give prompts, or --prompts FILE with one prompt per line (- reads standard input).");
  if (!arguments.aspect.empty() && (arguments.draw.height > 0 || arguments.draw.width > 0))
    throw UserError("--aspect and --height, --width exclude each other.");
  if (!arguments.aspect.empty()) aspect_of(arguments.aspect);
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
  arguments.draw.height = bucket.height;
  arguments.draw.width = bucket.width;
}

std::map<std::string, std::string> text_for(const Arguments& arguments, const sample::Pipeline& pipeline,
                                            size_t i, const Image& image) {
  const auto& origin = pipeline.origin();
  std::map<std::string, std::string> text = {
      {"prompt", arguments.draw.prompts[i]},
      {"negative_prompt", arguments.draw.negative_prompt},
      {"seed", std::to_string(arguments.options.seed)},
      {"index", std::to_string(arguments.options.first_index + int64_t(i))},
      {"height", std::to_string(image.height)},
      {"width", std::to_string(image.width)},
      {"model", fs::absolute(origin.path).string()},
      {"model_sha256", pipeline.weights_sha256()},
      {"stage", origin.stage},
      {"step", std::to_string(origin.step)},
      {"weights", arguments.live_weights ? "live" : "average"},
      {"vae", arguments.request.vae.string()},
      {"text_encoder", arguments.request.text_encoder.string()},
      {"sampler", arguments.options.sampler},
      {"num_steps", std::to_string(arguments.options.num_steps)},
      {"guidance", fmt::format("{}", arguments.options.guidance)},
      {"software", producer()}};
  // Images without it are of float32.
  if (pipeline.precision() != run::Precision::kFloat32) text["precision"] = word_of(pipeline.precision());
  return text;
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

std::vector<Image> draw(Arguments& arguments, const sample::Pipeline& pipeline) {
  std::vector<std::string> captions;
  for (const auto& prompt : arguments.draw.prompts)
    for (int64_t i = 0; i < arguments.count; ++i) captions.push_back(prompt);
  arguments.draw.prompts = std::move(captions);
  Progress progress("draw", int64_t(arguments.draw.prompts.size()), "image");
  arguments.options.progress = [&progress](int64_t done) { progress.update(done); };
  return pipeline.generate(arguments.draw, arguments.options);
}

// "" if the environment names no cache folder.
fs::path prompt_cache() {
  const fs::path base = user_cache_folder();
  return base.empty() ? base : base / "prompts";
}

void run(Arguments& arguments) {
  check(arguments);
  if (arguments.step >= 0) arguments.request.step = arguments.step;
  arguments.request.ema = !arguments.live_weights;
  if (!arguments.no_cache) arguments.request.prompt_cache = prompt_cache();
  const auto pipeline = sample::Pipeline::open(arguments.request);
  pipeline.begin_hash();
  require_same_model(arguments, pipeline);
  choose_size(arguments, pipeline);
  if (arguments.exact || pipeline.run().numerics == run::Numerics::kExact)
    arguments.options.one_by_one = true;
  const auto images = draw(arguments, pipeline);
  if (pipeline.has_text_encoder() && !pipeline.loaded_text_encoder() &&
      !arguments.request.prompt_cache.empty())
    log::info("the text encoder was not needed: the prompts' features are in {}",
              arguments.request.prompt_cache.string());
  create_folders(arguments.out);
  std::vector<GalleryImage> gallery;
  for (size_t i = 0; i < images.size(); ++i) {
    const std::string name = fmt::format("{:04d}.png", i);
    const auto text = text_for(arguments, pipeline, i, images[i]);
    formats::save_png(arguments.out / name, images[i], text);
    gallery.push_back({name, text});
  }
  const int scale = std::max(1, 128 / std::max(1, images.front().width));
  formats::save_png(arguments.out / "grid.png",
                    data::make_captioned_grid(images, arguments.draw.prompts, int(arguments.columns), scale));
  if (arguments.html) write_file_atomically(arguments.out / "index.html", gallery_page(gallery));
  const auto& origin = pipeline.origin();
  log::info("{} images of {}, and grid.png{} in {}", images.size(),
            origin.stage.empty() ? origin.weights.string()
                                 : fmt::format("stage {}, step {}", origin.stage, origin.step),
            arguments.html ? " and index.html" : "", arguments.out.string());
}

void add_options(CLI::App& command, Arguments& arguments) {
  command.add_option("MODEL", arguments.request.path,
                     "run folder, checkpoint folder, pipeline folder of diffusers, or weights in any layout");
  command.add_option("PROMPT", arguments.draw.prompts, "captions (text model) or class names (class model)");
  command.add_option(
      "--prompts", arguments.prompt_file,
      "file with one prompt per line, or JSONL with a prompt, caption or text per line; - reads "
      "standard input");
  command.add_option("--negative", arguments.draw.negative_prompt,
                     "caption to steer away from (default: the model's null caption)");
  command.add_option("--from-image", arguments.from_image, "generate this image of pixart sample again");
  command.add_option("--out", arguments.out, "folder for 0000.png, ... and grid.png")->capture_default_str();
  command.add_flag("--html", arguments.html,
                   "also write index.html, a gallery that shows how each image was made");
  command.add_option("--stage", arguments.request.stage,
                     "stage of the run (default: the last text stage with a checkpoint)");
  command.add_option("--step", arguments.step, "checkpoint of this step (default: the newest)");
  command.add_option("--vae", arguments.request.vae,
                     "folder of the autoencoder, if MODEL has only transformer weights");
  command.add_option("--text-encoder", arguments.request.text_encoder,
                     "folder of the T5 encoder, if MODEL has only transformer weights");
  command
      .add_option("--sampler", arguments.options.sampler, "one of " + join(diffusion::sampler_names(), ", "))
      ->capture_default_str();
  command.add_option("--steps", arguments.options.num_steps, "sampling steps")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--guidance", arguments.options.guidance, "classifier-free guidance; 1 turns it off")
      ->check(CLI::Range(1.0, 100.0))
      ->capture_default_str();
  command.add_option("--height", arguments.draw.height, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--width", arguments.draw.width, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--aspect", arguments.aspect,
                     "width over height, e.g. 16:9; takes the nearest official shape");
  command.add_option("--seed", arguments.options.seed, "seed of the noise")->capture_default_str();
  command.add_option("--count", arguments.count, "images per prompt")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command.add_option("--batch", arguments.options.batch_size, "images at a time")
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
      .add_option("--decode-tile", arguments.options.decode_tile,
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
      "  pixart sample --from-image images/0003.png --out again");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
