#include <algorithm>
#include <memory>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/convert/stated_process.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/formats/hash.h"
#include "pixart/sample/suite.h"
#include "process_options.h"
#include "sample_drawing.h"
#include "sample_prompts.h"
#include "sample_recipe.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

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
void read_model(const Text& text, SampleArguments& arguments) {
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
  if (text.contains("preview_decoder"))
    choose(arguments.request.preview_decoder, "preview_decoder", "give --preview-decoder");
  missing.throw_if_any(arguments.from_image.string());
  arguments.request.stage = value("stage");
  if (!arguments.request.stage.empty()) arguments.step = std::stoll(value("step"));
  arguments.weights = value("weights") == "live" ? Weights::kLive : Weights::kEma;
}

// Images without it are of the published process. A run's stage says what it predicts itself. Options win.
void read_process(const Text& text, SampleArguments& arguments) {
  const auto found = text.find("process");
  const auto stated = found == text.end()
                          ? std::nullopt
                          : convert::parse_process(found->second, arguments.from_image.string());
  const auto process = stated.value_or(diffusion::Process{});
  auto& request = arguments.request;
  if (value_of(text, "stage", arguments.from_image).empty())
    request.process = process;
  else if (process.is_flow() && !request.chosen.shift)
    request.chosen.shift = process.shift;
}

// Takes the control image, which must be the same one. An option names it where it is now.
void read_control(const Text& text, SampleArguments& arguments) {
  if (!text.contains("control")) return;
  const auto value = [&](const char* key) { return value_of(text, key, arguments.from_image); };
  auto& control = arguments.set.draw.control;
  if (control.image.empty()) control.image = value("control");
  if (!fs::exists(control.image) || formats::sha256_of_file(control.image) != value("control_sha256"))
    throw UserError(fmt::format("{}: its control image is not {}: give --control (SHA-256: {}).",
                                arguments.from_image.string(), control.image.string(),
                                value("control_sha256")));
  control.strength = std::stod(value("control_strength"));
  if (value("control_image") == data::ControlImage().name()) control.how = data::ControlImage();
}

// Reads how the image was made from the text in its PNG.
void read_recipe(SampleArguments& arguments) {
  const auto text = formats::read_png_text(arguments.from_image);
  const auto value = [&](const char* key) { return value_of(text, key, arguments.from_image); };
  auto& draw = arguments.set.draw;
  auto& options = arguments.set.options;
  draw.prompts = {value("prompt")};
  draw.negative_prompt = value("negative_prompt");
  draw.height = std::stoi(value("height"));
  draw.width = std::stoi(value("width"));
  options.seed = std::stoull(value("seed"));
  options.first_index = std::stoll(value("index"));
  arguments.sampler = value("sampler");
  arguments.num_steps = std::stoll(value("num_steps"));
  arguments.guidance = std::stod(value("guidance"));
  options.one_by_one = true;
  const auto precision = text.find("precision");
  arguments.request.precision = precision == text.end()
                                    ? run::Precision::kFloat32
                                    : enum_of_word<run::Precision>(precision->second, "precision");
  const auto tile_size = text.find("tile_size");
  options.tile_size = tile_size == text.end() ? 0 : std::stoll(tile_size->second);
  read_process(text, arguments);
  read_control(text, arguments);
  if (arguments.request.path.empty()) read_model(text, arguments);
}

void repeat(SampleArguments& arguments) {
  const auto text = formats::read_png_text(arguments.from_image);
  check_recipe(text, arguments.from_image);
  if (text.contains("images"))
    throw UserError(fmt::format("{} is a grid of {} images: draw the suite once more instead.",
                                arguments.from_image.string(), text.at("images")));
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

// The prompts of the command line, of a file, or of a suite.
void read_all_prompts(SampleArguments& arguments) {
  auto& set = arguments.set;
  if (!arguments.suite.empty()) {
    set.suite = std::make_shared<const sample::Suite>(
        sample::read_suite({.named = arguments.suite, .count = arguments.count, .seed = arguments.seed}));
    arguments.folder.name_of = [suite = set.suite](int64_t i) { return suite->file_name(i); };
    for (const auto& file : sample::side_files(*set.suite)) arguments.folder.side_files.push_back(file.path);
    return;
  }
  if (!arguments.prompt_file.empty())
    for (auto& prompt : read_prompts(arguments.prompt_file)) set.draw.prompts.push_back(std::move(prompt));
  if (set.draw.prompts.empty())
    throw UserError(
        "no prompts: give prompts, --prompts FILE with one prompt per line (- reads standard input), or "
        "--suite.");
}

void check_combinations(const SampleArguments& arguments) {
  const bool has_prompts = !arguments.set.draw.prompts.empty() || !arguments.prompt_file.empty();
  if (!arguments.suite.empty() && has_prompts)
    throw UserError("--suite has its own prompts: leave PROMPT, --prompts and --from-image out.");
  if (arguments.weights == Weights::kBoth && arguments.folder.folder.empty())
    throw UserError("--weights both draws into two folders, ema and live: name their folder with --out.");
}

void check(SampleArguments& arguments) {
  if (arguments.live_weights) arguments.weights = Weights::kLive;
  arguments.set.count = arguments.count.value_or(1);
  arguments.set.options.seed = arguments.seed.value_or(0);
  if (!arguments.from_image.empty()) repeat(arguments);
  const auto known = diffusion::sampler_names();
  if (arguments.sampler && !contains(known, *arguments.sampler))
    throw UserError(unknown_name("sampler", *arguments.sampler, known));
  if (arguments.request.path.empty())
    throw UserError("no model: give a run folder, a pipeline folder or weights (or --from-image FILE).");
  check_combinations(arguments);
  read_all_prompts(arguments);
  if (!arguments.aspect.empty() && (arguments.set.draw.height > 0 || arguments.set.draw.width > 0))
    throw UserError("--aspect and --height, --width exclude each other.");
  if (!arguments.aspect.empty()) aspect_of(arguments.aspect);
  require_text(arguments.set.draw);
  arguments.folder.num_images = arguments.set.size();
  arguments.folder.with_archive = arguments.npz;
  if (arguments.overwrite) arguments.folder.existing = sample::Existing::kReplace;
  if (arguments.resume) arguments.folder.existing = sample::Existing::kResume;
}

void run_sample(SampleArguments& arguments) {
  check(arguments);
  catch_stop_signals();  // not earlier: prompts may come from a terminal
  draw(arguments);
}

void add_options(CLI::App& command, SampleArguments& arguments) {
  command.add_option("MODEL", arguments.request.path,
                     "run folder, checkpoint folder, pipeline folder of diffusers, or weights in any layout");
  command.add_option("PROMPT", arguments.set.draw.prompts,
                     "captions (text model) or class names (class model)");
  command.add_option(
      "--prompts", arguments.prompt_file,
      "file with one prompt per line, or JSONL with a prompt, caption or text per line; - reads "
      "standard input");
  command.add_option(
      "--suite", arguments.suite,
      "prompts of an evaluation, PATH or KIND:PATH, with the file names that its programs read; "
      "kinds: " +
          join(words_of_enum<sample::SuiteKind>(), ", "));
  command.add_option("--negative", arguments.set.draw.negative_prompt,
                     "caption to steer away from (default: the model's null caption)");
  auto* control = command.add_option(
      "--control", arguments.set.draw.control.image,
      "image that a ControlNet follows; what it was trained on, such as edges, is made of the image");
  command
      .add_option("--control-strength", arguments.set.draw.control.strength,
                  "factor of what the ControlNet adds; 0 is the model without it")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str()
      ->needs(control);
  command
      .add_flag_callback(
          "--control-as-is", [&arguments] { arguments.set.draw.control.how = data::ControlImage{}; },
          "the image of --control is the control image itself, for example the answer of another program's edge detector")
      ->needs(control);
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
  command.add_option(
      "--preview-decoder", arguments.request.preview_decoder,
      "decode with this tiny autoencoder in place of the model's own: quick, and less exact (a "
      "TAESD's folder, or the file of its decoder)");
  command.add_option("--text-encoder", arguments.request.text_encoder,
                     "folder of the T5 encoder, if MODEL has only transformer weights");
  add_process_options(command, arguments.request.chosen, "");
  const diffusion::SamplerConfig usual;
  command.add_option("--sampler", arguments.sampler,
                     fmt::format("one of {} (default: {}; lcm for a consistency model)",
                                 join(diffusion::sampler_names(), ", "), usual.sampler));
  command
      .add_option("--steps", arguments.num_steps,
                  fmt::format("sampling steps (default: {}; 4 for a consistency model)", usual.num_steps))
      ->check(CLI::Range(1, 1000));
  command
      .add_option(
          "--guidance", arguments.guidance,
          fmt::format("classifier-free guidance; 1 turns it off (default: {}; 1 for a consistency model)",
                      usual.guidance))
      ->check(CLI::Range(1.0, 100.0));
  command.add_option("--height", arguments.set.draw.height, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--width", arguments.set.draw.width, "pixels (PixArt-MS; default: the model's own)")
      ->check(CLI::Range(8, 16384));
  command.add_option("--aspect", arguments.aspect,
                     "width over height, e.g. 16:9; takes the nearest official shape");
  command.add_option("--seed", arguments.seed, "seed of the noise (default: 0, or as the suite wants)");
  command.add_option("--count", arguments.count, "images per prompt (default: 1, or as the suite wants)")
      ->check(CLI::Range(1, 1000000));
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
      .add_option("--tile-size", arguments.set.options.tile_size,
                  "decode larger images in blended tiles of this side in pixels; 0: never (default: 1024 for "
                  "images of more than 1536 x 1536 pixels)")
      ->check(CLI::Range(0, 16384));
  command.add_option("--columns", arguments.columns, "images per row of the grid")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command.add_option("--device", arguments.request.device, "auto, cpu, cuda, cuda:<i>")
      ->capture_default_str();
  command
      .add_option("--threads", arguments.request.threads,
                  "CPU threads of each process, on which the last bits may depend (default: those of the run "
                  "file, or else a share of the cores)")
      ->check(CLI::Range(1, 1024));
  command.add_flag("--no-cache", arguments.no_cache,
                   "encode all prompts without the cache in ${XDG_CACHE_HOME:-~/.cache}/pixart/prompts");
  auto* live = command.add_flag("--live-weights", arguments.live_weights, "the same as --weights live");
  command
      .add_option_function<std::string>(
          "--weights",
          [&arguments](const std::string& word) {
            arguments.weights = enum_of_word<Weights>(word, "weights");
          },
          "ema: the EMA of the weights (default); live: the trained weights; both: one after the other, into the "
          "folders ema and live of --out")
      ->check(CLI::IsMember(words_of_enum<Weights>()))
      ->excludes(live);
  command.add_flag("--npz", arguments.npz,
                   "also write samples.npz, all images in one array, as programs that compute FID read it");
}

}  // namespace

void add_sample(CLI::App& app) {
  auto arguments = std::make_shared<SampleArguments>();
  auto* command = app.add_subcommand("sample", "Generate images with a trained model.");
  add_options(*command, *arguments);
  command->footer(
      "Examples:\n  pixart sample runs/demo \"a red circle on a white background\" --count 4\n"
      "  pixart sample runs/demo --prompts prompts.txt --guidance 3 --out images --html\n"
      "  pixart sample runs/fashion --stage class Sneaker Bag\n"
      "  pixart sample PixArt-XL-2-1024-MS.pth --vae sd-vae --text-encoder t5 \"a cat\" --aspect 16:9\n"
      "  pixart sample --from-image images/0003.png --out again\n"
      "  pixart launch -n 8 -- sample runs/demo --suite coco:captions.txt --out coco --resume\n"
      "  pixart sample runs/demo --suite evaluation_metadata.jsonl --weights both --out geneval\n"
      "  pixart sample runs/fashion --stage class --suite classes:50000 --guidance 1.5 --npz --out fid\n\n"
      "Each image is written when it is decoded. After a stop (exit code 75) or a kill, the same command with\n"
      "--out FOLDER --resume gives the same files.");
  command->callback([arguments] { run_sample(*arguments); });
}

}  // namespace pixart::tools
