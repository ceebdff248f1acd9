#include <memory>

#include "commands.h"
#include "convert_card.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/convert/convert.h"
#include "pixart/convert/lora.h"
#include "pixart/convert/power_ema.h"
#include "pixart/convert/tensor_map.h"
#include "pixart/nn/dtype.h"
#include "pixart/optim/power_ema.h"
#include "process_options.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct ConvertArguments {
  fs::path source, target;
  convert::TargetOptions write;
  CardRequest card;
  std::string set = "model", dtype;
  bool ema = false, reparameterize = false;
  fs::path lora;
  double lora_scale = 1, ema_length = 0;
  int64_t num_heads = 0, num_classes = 0;
  // of the new text-to-image model
  int64_t image_size = 0, caption_channels = 4096;
  std::optional<int64_t> max_tokens;
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
    print_line("{:<8} {:<44} {:>10}  {}", words.at(tensor.disposition), tensor.name,
               human_bytes(uint64_t(tensor.bytes)), tensor.how);
    sums[tensor.disposition].first += 1;
    sums[tensor.disposition].second += tensor.bytes;
  }
  for (const auto& [disposition, sum] : sums)
    print_line("{:<8} {} tensors, {}", words.at(disposition), sum.first, human_bytes(uint64_t(sum.second)));
}

convert::OfficialWeights reparameterized(const convert::OfficialWeights& dit,
                                         const ConvertArguments& arguments) {
  convert::ReparameterizeRequest request;
  request.target.input_size = arguments.image_size / kPixelsPerLatent;
  request.target.position_scale = arguments.position_scale;
  request.target.max_tokens = arguments.max_tokens.value_or(request.target.max_tokens);
  request.target.caption_channels = arguments.caption_channels;
  request.target.micro_conditions = arguments.micro_conditions;
  request.target.multi_scale =
      arguments.micro_conditions || request.target.max_tokens == models::kSigmaTokens;
  request.options.shared_modulation = arguments.shared_modulation;
  request.options.init.seed = arguments.seed;
  request.options.source = arguments.source.string();
  auto result = convert::reparameterize(dit, request);
  print_plan(result.plan);
  print_line("proof: at t = 500 both models' outputs {} (random latents, float32)",
             convert::describe(result.proof));
  convert::require_proof(result.proof, arguments.source.string());
  return std::move(result.weights);
}

convert::OfficialWeights with_lora(convert::OfficialWeights base, const ConvertArguments& arguments) {
  const auto adapters = convert::read_lora(arguments.lora);
  const std::string subject = fmt::format("{} and {}", arguments.lora.string(), arguments.source.string());
  if (!arguments.write.process.prediction) convert::require_same_prediction(base, adapters, subject);
  // Values are rounded only once, when they are written.
  if (arguments.write.dtype) base.weights = convert::cast(std::move(base.weights), at::kFloat);
  auto merged = convert::merge_lora(
      std::move(base), adapters, arguments.lora_scale,
      fmt::format("{} does not fit {}", arguments.lora.string(), arguments.source.string()));
  print_plan(merged.plan);
  for (const auto& note : adapters.notes) log::info("{}", note);
  print_line("licence of the adapters: {}", adapters.license);
  return std::move(merged.weights);
}

convert::ConvertReport convert_transformer(convert::Opened opened, const ConvertArguments& arguments) {
  std::string conversion = "from " + convert::layout_name(opened.identity.layout);
  auto official = convert::to_official(std::move(opened), arguments.write.text_encoder);
  for (const auto& note : official.notes) log::info("{}", note);
  if (arguments.reparameterize) {
    official = reparameterized(official, arguments);
    conversion = fmt::format("re-parameterised from a DiT at t = 500, shared modulation: {}",
                             arguments.shared_modulation);
  }
  if (!arguments.lora.empty()) {
    official = with_lora(std::move(official), arguments);
    conversion += fmt::format(", LoRA adapters of {} merged {} times", arguments.lora.filename().string(),
                              arguments.lora_scale);
  }
  return convert::write_transformer(official, arguments.target, conversion, arguments.write);
}

void run_convert(ConvertArguments& arguments) {
  if (arguments.image_size % kPixelsPerLatent != 0)
    throw UserError(
        fmt::format("--image-size {} is not a multiple of {}.", arguments.image_size, kPixelsPerLatent));
  convert::LayoutHints hints;
  if (arguments.num_heads > 0) hints.num_heads = arguments.num_heads;
  if (arguments.num_classes > 0) hints.num_classes = arguments.num_classes;
  if (!arguments.reparameterize) {
    hints.max_tokens = arguments.max_tokens;
    if (arguments.position_scale > 0) hints.position_scale = arguments.position_scale;
  }
  arguments.write.card =
      card_facts(arguments.card, arguments.source, arguments.target,
                 {.is_ema = arguments.ema || arguments.set == "ema" || arguments.ema_length > 0,
                  .is_changed = arguments.reparameterize || !arguments.lora.empty()});
  if (!arguments.dtype.empty()) arguments.write.dtype = nn::dtype_called(arguments.dtype);
  auto opened =
      arguments.ema_length > 0
          ? convert::identified(arguments.source,
                                convert::power_ema_weights(arguments.source, arguments.ema_length), hints)
          : convert::open_and_identify(arguments.source, arguments.ema ? "ema" : arguments.set, hints);
  const auto layout = opened.identity.layout;
  if (layout == convert::Layout::kTinyVae || layout == convert::Layout::kTinyVaePart)
    throw UserError(
        arguments.source.string() +
        " is a tiny autoencoder, which is used as it is: as autoencoder.path, samples.preview_decoder, or with "
        "`pixart sample --preview-decoder`.");
  const bool is_vae = layout == convert::Layout::kVae || layout == convert::Layout::kVaeLdm;
  if (is_vae && (arguments.reparameterize || arguments.write.pipeline || !arguments.lora.empty()))
    throw UserError(arguments.source.string() +
                    " is an autoencoder: --reparameterize, --pipeline and --merge-lora do not work with it.");
  const auto report = is_vae ? convert::convert_vae(opened, arguments.target, arguments.write)
                             : convert_transformer(std::move(opened), arguments);
  for (const auto& line : report.lines) print_line("{}", line);
}

void add_reparameterize_options(CLI::App& command, ConvertArguments& arguments) {
  const auto group = "Re-parameterisation (a DiT becomes the start of a PixArt)";
  auto* reparameterize = command
                             .add_flag("--reparameterize", arguments.reparameterize,
                                       "print the plan, convert, and prove that both models are equal at t = "
                                       "500")
                             ->excludes(command.get_option("--merge-lora"))
                             ->group(group);
  command
      .add_option("--image-size", arguments.image_size,
                  "pixels of the new model's images (default: those of the DiT); 8 pixels per latent")
      ->check(CLI::Range(16, 4096))
      ->needs(reparameterize)
      ->group(group);
  command.add_option("--caption-channels", arguments.caption_channels, "width of the text features")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->needs(reparameterize)
      ->group(group);
  command
      .add_option(
          "--shared-modulation", arguments.shared_modulation,
          "the only adaLN layer W, b of the new model: mean (of the blocks' layers: closest for all "
          "timesteps in the least-squares sense) or block:<i> (this block is exact at every timestep). All "
          "blocks are exact at t = 500")
      ->capture_default_str()
      ->needs(reparameterize)
      ->group(group);
  command
      .add_flag("--micro-conditions", arguments.micro_conditions,
                "the new model is a PixArt-MS: size and aspect ratio as conditions, any grid")
      ->needs(reparameterize)
      ->group(group);
  command.add_option("--seed", arguments.seed, "seed of the newly initialised weights")
      ->capture_default_str()
      ->needs(reparameterize)
      ->group(group);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<ConvertArguments>();
  auto* command = app.add_subcommand(
      "convert", "Convert weights between layouts, or a DiT into the start of a text-to-image model.");
  command
      ->add_option("SOURCE", arguments->source,
                   "official .pth/.pt, pixart's .safetensors, diffusers folder, LDM autoencoder")
      ->required();
  command
      ->add_option("TARGET", arguments->target,
                   "FILE.safetensors (pixart's, official names), FILE.pth (official), or a folder "
                   "(diffusers)")
      ->required();
  command->add_option("--dtype", arguments->dtype, "type of the written values (default: the source's)")
      ->check(CLI::IsMember(nn::dtype_names()));
  auto* ema =
      command->add_flag("--ema", arguments->ema, "take the EMA (state_dict_ema, ema) of a training file");
  auto* set =
      command->add_option("--set", arguments->set, "take the weights under this key of a training file")
          ->excludes(ema);
  command
      ->add_option(
          "--ema-length", arguments->ema_length,
          "SOURCE is <run>/power_ema/STAGE: make the EMA of this length, a share of the training, from the "
          "stored ones")
      ->check(CLI::Range(optim::kShortestEma, optim::kLongestEma))
      ->excludes(ema)
      ->excludes(set);
  auto* pipeline =
      command->add_flag("--pipeline", arguments->write.pipeline,
                        "write a whole pipeline folder; needs --vae, and for PixArt --text-encoder");
  command->add_option("--vae", arguments->write.vae, "autoencoder folder or file for the pipeline")
      ->needs(pipeline);
  command->add_option("--text-encoder", arguments->write.text_encoder,
                      "T5 folder, for the pipeline and for the null caption of a diffusers model");
  command
      ->add_option("--tokenizer", arguments->write.tokenizer,
                   "spiece.model, tokenizer.json or their folder, if it is not in the T5 folder")
      ->needs(pipeline);
  command->add_option("--shard-bytes", arguments->write.shard_bytes, "largest file of a diffusers folder")
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40))
      ->capture_default_str();
  command
      ->add_option("--num-heads", arguments->num_heads,
                   "attention heads, if the weights do not tell (unusual widths under official names)")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--num-classes", arguments->num_classes,
                   "classes of a DiT; a label table with as many rows has no null class")
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option(
          "--max-tokens", arguments->max_tokens,
          "caption length, if the weights do not tell (PixArt-alpha: 120). 300 makes a model without "
          "micro-conditions a PixArt-Sigma")
      ->check(CLI::Range(1, 100000));
  command
      ->add_option(
          "--position-scale", arguments->position_scale,
          "positions are divided by it, if the weights do not tell (PixArt-Sigma: pixels of a side / 512)")
      ->check(CLI::Range(0.01, 100.0));
  add_process_options(*command, arguments->write.process, "; --pipeline needs it");
  auto* lora = command->add_option(
      "--merge-lora", arguments->lora,
      "add these LoRA adapters (of pixart train, diffusers, PEFT, kohya's scripts, OneTrainer; a file or its "
      "folder) "
      "to the weights, and print the plan");
  command->add_option("--lora-scale", arguments->lora_scale, "factor of the adapters")
      ->check(CLI::Range(-100.0, 100.0))
      ->capture_default_str()
      ->needs(lora);
  command->add_option("--license", arguments->write.license, "licence note that replaces the source's");
  command->add_flag("--overwrite", arguments->write.overwrite,
                    "replace TARGET, after the new one is on the disk");
  command->add_flag_callback(
      "--sync", [arguments] { arguments->write.durability = Durability::kNow; },
      "wait until everything is on the disk; otherwise, as with cp, the system writes it within half a "
      "minute");
  add_card_options(*command, arguments->card);
  add_reparameterize_options(*command, *arguments);
  command->footer(
      "Examples:\n"
      "  pixart convert PixArt-XL-2-512x512.pth pixart-512.safetensors\n"
      "  pixart convert pixart-512.safetensors pixart-512-diffusers --dtype float16\n"
      "  pixart convert PixArt-XL-2-1024-MS.pth pipeline --pipeline --vae sd-vae-ft-ema --text-encoder "
      "t5-v1_1-xxl\n"
      "  pixart convert PixArt-Sigma-XL-2-1024-MS.pth sigma --pipeline --vae sdxl-vae-fp16-fix --text-encoder t5-v1_1-xxl "
      "--prediction epsilon\n"
      "  pixart convert DiT-XL-2-256x256.pt init-512.safetensors --reparameterize --image-size 512\n"
      "  pixart convert PixArt-XL-2-512x512.pth styled.safetensors --merge-lora runs/style/lora/style");
  command->callback([arguments] { run_convert(*arguments); });
}

}  // namespace pixart::tools
