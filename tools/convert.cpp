#include <cstdio>
#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/convert.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct Arguments {
  fs::path source, target;
  convert::OpenOptions open;
  convert::TargetOptions write;
  std::string dtype, license;
  bool ema = false, reparameterize = false;
  int64_t num_heads = 0;
  // of the new text-to-image model
  int64_t image_size = 0, max_tokens = 120, caption_channels = 4096;
  double position_scale = 0;
  bool micro_conditions = false;
  std::string shared_modulation = "mean";
  uint64_t seed = 0;
};

constexpr int64_t kPixelsPerLatent = 8;

void print_plan(const std::vector<convert::PlannedTensor>& plan) {
  using enum convert::Disposition;
  const std::map<convert::Disposition, const char*> words = {
      {kCopied, "copied"}, {kDerived, "derived"}, {kNewInit, "new"}, {kDropped, "dropped"}};
  std::map<convert::Disposition, std::pair<int64_t, int64_t>> sums;
  for (const auto& tensor : plan) {
    std::printf("%-8s %-44s %10s  %s\n", words.at(tensor.disposition), tensor.name.c_str(),
                human_bytes(uint64_t(tensor.bytes)).c_str(), tensor.how.c_str());
    sums[tensor.disposition].first += 1;
    sums[tensor.disposition].second += tensor.bytes;
  }
  for (const auto& [disposition, sum] : sums)
    std::printf("%-8s %lld tensors, %s\n", words.at(disposition), static_cast<long long>(sum.first),
                human_bytes(uint64_t(sum.second)).c_str());
}

convert::OfficialWeights reparameterized(const convert::OfficialWeights& dit, const Arguments& arguments,
                                         std::string& conversion) {
  const auto* config = std::get_if<models::DitConfig>(&dit.identity.architecture);
  if (config == nullptr)
    throw UserError(arguments.source.string() + " is no DiT: only a DiT can be re-parameterised.");
  convert::ReparameterizeRequest request;
  auto& target = request.target;
  target.input_size = arguments.image_size > 0 ? arguments.image_size / kPixelsPerLatent : config->input_size;
  target.max_tokens = arguments.max_tokens;
  target.caption_channels = arguments.caption_channels;
  target.multi_scale = arguments.micro_conditions;
  target.position_scale = arguments.position_scale > 0 ? arguments.position_scale
                                                       : double(std::max<int64_t>(target.input_size / 64, 1));
  request.options.shared_modulation = arguments.shared_modulation;
  request.options.init.seed = arguments.seed;
  auto result = convert::reparameterize(dit, request);
  print_plan(result.plan);
  std::printf(
      "proof: at t = 500 both models' outputs differ by at most %.2e on random latents of side %lld\n",
      result.difference, static_cast<long long>(target.input_size));
  if (!(result.difference <= convert::kLargestProofDifference)) {
    throw UserError(
        fmt::format("{}: the new model differs from the DiT by {:.2e} at t = 500 (more than {:.0e}). Are the "
                    "numbers of the "
                    "DiT finite (pixart inspect --verify)?",
                    arguments.source.string(), result.difference, convert::kLargestProofDifference));
  }
  conversion = fmt::format("re-parameterised from a DiT at t = 500, shared modulation: {}",
                           arguments.shared_modulation);
  return std::move(result.weights);
}

void run(Arguments& arguments) {
  if (arguments.ema) arguments.open.which = "ema";
  if (arguments.num_heads > 0) arguments.open.hints.num_heads = arguments.num_heads;
  if (!arguments.reparameterize && arguments.position_scale > 0)
    arguments.open.hints.position_scale = arguments.position_scale;
  if (!arguments.reparameterize) arguments.open.hints.max_tokens = arguments.max_tokens;
  static const std::map<std::string, at::ScalarType> dtypes = {
      {"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};
  if (!arguments.dtype.empty()) arguments.write.dtype = dtypes.at(arguments.dtype);
  arguments.open.text_encoder = arguments.write.text_encoder;

  const auto reports = formats::open_weights(arguments.source, arguments.open.which);
  const auto layout = convert::identify(reports, arguments.source, arguments.open.hints).layout;
  convert::ConvertReport report;
  if (layout == convert::Layout::kVae || layout == convert::Layout::kVaeLdm) {
    report = convert::convert_vae(arguments.source, arguments.target, arguments.write);
  } else {
    auto official = convert::open_official(arguments.source, arguments.open);
    for (const auto& note : official.notes) log::info("{}", note);
    std::string conversion = "from " + convert::layout_name(layout);
    if (arguments.reparameterize) official = reparameterized(official, arguments, conversion);
    if (!arguments.license.empty()) official.license = arguments.license;
    report = convert::write_transformer(official, arguments.target, conversion, arguments.write);
  }
  for (const auto& line : report.lines) std::printf("%s\n", line.c_str());
}

void add_reparameterize_options(CLI::App& command, Arguments& arguments) {
  const auto group = "Re-parameterisation (a DiT becomes the start of a PixArt)";
  command
      .add_flag("--reparameterize", arguments.reparameterize,
                "print the plan, convert, and prove both models equal at t = 500")
      ->group(group);
  command
      .add_option("--image-size", arguments.image_size,
                  "pixels of the new model's images (default: those of the DiT); 8 pixels per latent")
      ->check(CLI::Range(16, 4096))
      ->group(group);
  command.add_option("--caption-channels", arguments.caption_channels, "width of the text features")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  command
      .add_option(
          "--shared-modulation", arguments.shared_modulation,
          "what the one adaLN layer W, b of the new model is: mean (of the blocks' layers: closest for all "
          "timesteps in the least-squares sense) or block:<i> (that block is exact at every timestep). All "
          "are exact at t = 500")
      ->capture_default_str()
      ->group(group);
  command
      .add_flag("--micro-conditions", arguments.micro_conditions,
                "the new model is a PixArt-MS: size and aspect ratio as conditions, any grid")
      ->group(group);
  command.add_option("--seed", arguments.seed, "of what is newly initialised")
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "convert", "Convert weights between layouts, or a DiT into the start of a text-to-image model.");
  command
      ->add_option("SOURCE", arguments->source, "official .pth/.pt, ours, diffusers folder, LDM autoencoder")
      ->required();
  command
      ->add_option("TARGET", arguments->target,
                   "FILE.safetensors (official names, ours), FILE.pth (official), or a folder (diffusers)")
      ->required();
  command->add_option("--dtype", arguments->dtype, "of the written numbers (default: as they are)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  command->add_flag("--ema", arguments->ema, "take the average (state_dict_ema, ema) of a training file");
  command->add_option("--set", arguments->open.which, "take the weights under this key of a training file");
  command->add_flag("--pipeline", arguments->write.pipeline,
                    "write a whole pipeline folder; needs --vae, and for PixArt --text-encoder");
  command->add_option("--vae", arguments->write.vae, "autoencoder folder or file for the pipeline");
  command->add_option("--text-encoder", arguments->write.text_encoder,
                      "T5 folder, for the pipeline and for the null caption of a diffusers model");
  command->add_option("--tokenizer", arguments->write.tokenizer,
                      "spiece.model or its folder, if it is not in the T5 folder");
  command->add_option("--shard-bytes", arguments->write.shard_bytes, "largest file of a diffusers folder")
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40))
      ->capture_default_str();
  command
      ->add_option("--num-heads", arguments->num_heads,
                   "where the weights do not tell (unusual widths under official names)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--max-tokens", arguments->max_tokens, "caption length, where the weights do not tell")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--position-scale", arguments->position_scale,
                   "divides positions, where the weights do not tell")
      ->check(CLI::Range(0.01, 100.0));
  command->add_option("--license", arguments->license, "licence note instead of the source's");
  command->add_flag("--overwrite", arguments->write.overwrite, "replace TARGET");
  add_reparameterize_options(*command, *arguments);
  command->footer(
      "Examples:\n"
      "  pixart convert PixArt-XL-2-512x512.pth pixart-512.safetensors\n"
      "  pixart convert pixart-512.safetensors pixart-512-diffusers --dtype float16\n"
      "  pixart convert PixArt-XL-2-1024-MS.pth pipeline --pipeline --vae sd-vae-ft-ema --text-encoder "
      "t5-v1_1-xxl\n"
      "  pixart convert DiT-XL-2-256x256.pt init-512.safetensors --reparameterize --image-size 512");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace pixart::tools
