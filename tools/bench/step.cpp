// One training step of PixArt on random data with the Trainer: forward, IDDPM loss with learned sigma,
// backward, clip, AdamW and EMA. With --loader the samples are feature sets on a disk, read as in a stage.
// The rival is scripts/bench_step.py, PyTorch.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "benchmarks.h"
#include "made_features.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/features/feature_reader.h"
#include "pixart/models/transformer.h"
#include "pixart/nn/device.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "rival.h"

namespace pixart::bench {

namespace {

struct StepArguments {
  models::TransformerShape shape{.input_size = 32, .hidden_size = 256, .depth = 8, .num_heads = 4};
  models::TextSizes text{.caption_channels = 128, .max_tokens = 32};
  int64_t batch_size = 4, micro_batch_size = 0, steps = 20, warmup_steps = 3, threads = 0,
          recompute_every = 0, samples = 512;
  std::string precision = "fp32", device = "cpu";
  std::string captions;  // their lengths; empty: all have text.max_tokens
  bool loader = false;
  std::filesystem::path folder = ".";                         // of the feature sets
  std::string rival, script = "scripts/bench_step.py", form;  // the Python that runs it; empty: no rival
  bool compiled = false;                                      // torch.compile is a second rival
  bool json = false;

  CaptionLengths lengths() const {
    return captions.empty() ? CaptionLengths{text.max_tokens, text.max_tokens}
                            : caption_lengths(captions, text.max_tokens);
  }
};

constexpr uint64_t kSeed = 1;
constexpr int64_t kNoiseSteps = 1000;
constexpr double kDropout = 0.1;

diffusion::LossTables loss_tables(at::Device device) {
  return {diffusion::make_noise_schedule("linear", kNoiseSteps), device};
}

at::Tensor normal(at::IntArrayRef shape, uint64_t stream, at::Device device) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({kSeed, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor.to(device);
}

class RandomSamples : public train::Objective {
 public:
  RandomSamples(const models::Transformer& model, const StepArguments& arguments, at::Device device)
      : model_(model),
        device_(device),
        lengths_(arguments.lengths()),
        tables_(loss_tables(device)),
        latents_(normal({arguments.batch_size, 4, arguments.shape.input_size, arguments.shape.input_size}, 1,
                        device)),
        captions_(normal({arguments.batch_size, arguments.text.max_tokens, arguments.text.caption_channels},
                         2, device)) {}

  at::Tensor loss(const data::Batch& batch) override {
    const at::Tensor rows = at::tensor(batch.plan.rows, at::kLong).to(device_);
    const auto draw = train::draw_diffusion_inputs(kSeed, batch.plan.positions, latents_.sizes().slice(1),
                                                   tables_.schedule().num_steps(), kDropout);
    models::Condition text;
    text.caption = captions_.index_select(0, rows);
    text.mask = mask(batch.plan.positions);
    text.drop = draw.drop.to(device_);
    return train::diffusion_loss(
        tables_, [&](const at::Tensor& x, const at::Tensor& t) { return model_.forward(x, t, text); },
        latents_.index_select(0, rows), draw.noise.to(device_), draw.t.to(device_));
  }

 private:
  at::Tensor mask(const std::vector<int64_t>& positions) const {
    at::Tensor lengths = at::empty({int64_t(positions.size()), 1}, at::kLong);
    for (size_t i = 0; i < positions.size(); ++i) lengths.data_ptr<int64_t>()[i] = lengths_.of(positions[i]);
    return at::arange(captions_.size(1)).lt(lengths).to(at::kLong);
  }

  const models::Transformer& model_;
  at::Device device_;
  CaptionLengths lengths_;
  diffusion::LossTables tables_;
  at::Tensor latents_, captions_;
};

run::TrainerConfig trainer_config(const StepArguments& arguments) {
  run::TrainerConfig config;
  config.steps = arguments.steps + arguments.warmup_steps;
  config.batch_size = arguments.batch_size;
  config.gradient_clip = 0.01;
  config.ema_decay = 0.9999;
  return config;
}

// What the Trainer reads and computes.
struct Work {
  std::unique_ptr<train::Objective> objective;
  std::unique_ptr<data::Loader> loader;
};

Work work_in_memory(const StepArguments& arguments, const models::Transformer& model, at::Device device) {
  auto order =
      std::make_shared<data::SampleOrder>(0, std::vector<data::OrderPart>{{.rows = arguments.batch_size}});
  const data::BatchPlan plan{.batch_size = arguments.batch_size,
                             .micro_batch_size = arguments.micro_batch_size};
  const auto read = [](const data::MicroBatch& micro) { return data::Batch{.plan = micro}; };
  return {std::make_unique<RandomSamples>(model, arguments, device),
          std::make_unique<data::Loader>(std::move(order), plan, data::LoaderConfig{.threads = 0}, read)};
}

// Feature sets on a disk, and what reads them. Of the codec only the scaling of latents is used.
class StoredSamples {
 public:
  StoredSamples(const StepArguments& arguments, at::Device device)
      : arguments_(arguments),
        device_(device),
        scratch_(arguments.folder / fmt::format("pixart-bench-step-{}", process_id())),
        dataset_(arguments.samples),
        codec_(make_codec(device)) {
    write_latents(scratch_.path / "latents", dataset_, arguments.shape.input_size);
    write_captions(scratch_.path / "captions", dataset_, "bfloat16", arguments.lengths(),
                   arguments.text.caption_channels);
  }

  Work work(const models::Transformer& model) const {
    auto order =
        std::make_shared<data::SampleOrder>(kSeed, std::vector<data::OrderPart>{{.rows = dataset_.size()}});
    const data::BatchPlan plan{.batch_size = arguments_.batch_size,
                               .micro_batch_size = arguments_.micro_batch_size};
    train::DiffusionSetting setting{
        .codec = &codec_,
        .loss = loss_tables(device_),
        .seed = kSeed,
        .draw = train::draws_by_sample(kSeed, diffusion::DiffusionConfig{}, arguments_.batch_size, kDropout,
                                       noise_from(device_)),
        .device = device_};
    return {std::make_unique<train::DiffusionObjective>(model, std::move(setting)),
            std::make_unique<data::Loader>(std::move(order), plan, data::LoaderConfig{}, reader())};
  }

 private:
  // As in training.
  static train::NoiseFrom noise_from(at::Device device) {
    return diffusion::has_kernels(device) ? train::NoiseFrom::kDevice : train::NoiseFrom::kHost;
  }

  static features::LatentCodec make_codec(at::Device device) {
    models::VaeConfig config;
    config.block_out_channels = {4}, config.layers_per_block = 1, config.norm_num_groups = 2;
    auto state = std::make_unique<nn::StateDict>(nn::StateDictOptions{.dtype = at::kFloat, .device = device});
    auto vae = std::make_unique<models::AutoencoderKl>(nn::Scope(*state), config);
    return {models::LoadedVae{std::move(state), std::move(vae)}, {}};
  }

  features::FeatureReader reader() const {
    return {.parts = {{.source = &source_,
                       .dataset = &dataset_,
                       .latents = std::make_shared<data::LatentSet>(scratch_.path / "latents"),
                       .captions = std::make_shared<data::CaptionSet>(scratch_.path / "captions")}},
            .seed = kSeed,
            .with_captions = true,
            .pinned = device_.is_cuda(),
            .max_tokens = arguments_.text.max_tokens};
  }

  StepArguments arguments_;
  at::Device device_;
  Scratch scratch_;
  Samples dataset_;
  data::SourceConfig source_;
  features::LatentCodec codec_;
};

// Peak of the GPU's allocator; on a CPU, the largest resident size of the process, with LibTorch.
int64_t peak_bytes(at::Device device) {
  if (!device.is_cpu()) {
    const auto stats = at::accelerator::getDeviceStats(device.index());
    return stats.allocated_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) << 10;
}

// CPU time of all threads, including waiting ones. With one thread it is reliable also on a busy machine.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return double(time.tv_sec) + 1e-6 * double(time.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Times {
  std::vector<double> ms, cpu_ms;
};

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// A form of PyTorch in another process, which makes the same step and waits while the others work.
struct Contender {
  const char* key;  // of its results
  std::unique_ptr<Rival> process;
  nlohmann::json answer = {};  // the last one
  Times times = {};
};

std::unique_ptr<Rival> start_rival(const StepArguments& a, bool compiled) {
  std::vector<std::string> command = {a.rival,     a.script,   "--serve", "--precision",
                                      a.precision, "--device", a.device};
  const std::pair<const char*, int64_t> numbers[] = {{"--hidden-size", a.shape.hidden_size},
                                                     {"--depth", a.shape.depth},
                                                     {"--num-heads", a.shape.num_heads},
                                                     {"--latent-size", a.shape.input_size},
                                                     {"--batch-size", a.batch_size},
                                                     {"--caption-tokens", a.text.max_tokens},
                                                     {"--caption-width", a.text.caption_channels},
                                                     {"--threads", at::get_num_threads()}};
  for (const auto& [name, value] : numbers) command.insert(command.end(), {name, std::to_string(value)});
  if (!a.captions.empty()) command.insert(command.end(), {"--captions", a.captions});
  if (!a.form.empty()) command.insert(command.end(), {"--form", a.form});
  if (compiled) command.emplace_back("--compile");
  return std::make_unique<Rival>(command);
}

std::vector<Contender> start_rivals(const StepArguments& a) {
  std::vector<Contender> rivals;
  if (a.rival.empty()) return rivals;
  require_files({a.script});
  rivals.push_back({.key = "against", .process = start_rival(a, false)});
  if (a.compiled) rivals.push_back({.key = "against_compiled", .process = start_rival(a, true)});
  return rivals;
}

nlohmann::ordered_json against(const Times& ours, const Times& rival, const nlohmann::json& answer) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.ms.size(); ++i) ratios.push_back(rival.ms[i] / ours.ms[i]);
  return {{"rival", answer.at("rival")},
          {"form", answer.at("form")},
          {"step_ms", spread(rival.ms)},
          {"cpu_ms", median(rival.cpu_ms)},
          {"peak_bytes", answer.at("peak_bytes")},
          {"ratio",
           {{"of_medians", median(rival.ms) / median(ours.ms)},
            {"median_of_pairs", median(ratios)},
            {"of_fastest", spread(rival.ms)["min"].get<double>() / spread(ours.ms)["min"].get<double>()},
            {"of_cpu_time", median(rival.cpu_ms) / median(ours.cpu_ms)}}}};
}

void bench_step(const StepArguments& arguments) {
  const at::Device device = nn::select_device(arguments.device);
  nn::set_num_threads(arguments.threads);
  nn::keep_freed_memory();
  models::Execution execution{.dtype = {}, .recompute_every = arguments.recompute_every};
  if (arguments.precision == "bf16") execution.dtype = at::kBFloat16;
  nn::StateDict state({.dtype = at::kFloat, .device = device});
  const auto config = models::transformer_config("PixArt", arguments.shape, {.text = arguments.text});
  const auto model = models::Transformer(nn::Scope(state), config).with(execution);
  models::initialize(state, config, {.seed = kSeed, .embedder_std = 0.0});
  const auto stored = arguments.loader ? std::make_unique<StoredSamples>(arguments, device) : nullptr;
  const Work work = stored ? stored->work(model) : work_in_memory(arguments, model, device);
  const auto alone = distributed::make_communicator({}, device, {});
  train::Trainer trainer(trainer_config(arguments), state, *work.objective, *work.loader, *alone);
  if (arguments.precision == "bf16") trainer.keep_rounded_weights();
  auto rivals = start_rivals(arguments);

  Times times;
  double loss = 0;
  for (int64_t step = -arguments.warmup_steps; step < arguments.steps; ++step) {
    for (auto& rival : rivals) rival.answer = rival.process->ask("step");
    if (step == 0) work.loader->take_wait();  // that of the measured steps is wanted
    const double start = monotonic_seconds(), cpu_start = cpu_seconds();
    loss = trainer.train_step().loss;
    if (step < 0) continue;
    times.ms.push_back(1e3 * (monotonic_seconds() - start));
    times.cpu_ms.push_back(1e3 * (cpu_seconds() - cpu_start));
    for (auto& rival : rivals) {
      rival.times.ms.push_back(rival.answer.at("ms"));
      rival.times.cpu_ms.push_back(rival.answer.at("cpu_ms"));
    }
  }
  nlohmann::ordered_json result = {
      {"benchmark", "step"},
      {"parameters", state.num_parameters()},
      {"batch_size", arguments.batch_size},
      {"precision", arguments.precision},
      {"activation_checkpointing", arguments.recompute_every},
      {"captions", fmt::format("{}-{}", arguments.lengths().least, arguments.lengths().most)},
      {"device", device.str()},
      {"threads", at::get_num_threads()},
      {"step_ms", spread(times.ms)},
      {"cpu_ms", median(times.cpu_ms)},
      {"images_per_second", 1e3 * double(arguments.batch_size) / median(times.ms)},
      {"peak_bytes", peak_bytes(device)},
      {"loss", loss}};
  if (stored)
    result["loader"] = {{"samples", arguments.samples},
                        {"threads", data::LoaderConfig{}.threads},
                        {"data_wait", work.loader->take_wait().seconds / (1e-3 * sum_of(times.ms))}};
  for (const auto& rival : rivals) result[rival.key] = against(times, rival.times, rival.answer);
  if (arguments.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return;
  }
  std::printf("%.1f ms per step (%.1f .. %.1f), %.2f images per second, %.0f MB at most\n", median(times.ms),
              result["step_ms"]["min"].get<double>(), result["step_ms"]["max"].get<double>(),
              result["images_per_second"].get<double>(), double(result["peak_bytes"].get<int64_t>()) / 1e6);
  for (const auto& rival : rivals)
    std::printf("%.2f times as fast as %s (%s)\n", result[rival.key]["ratio"]["of_medians"].get<double>(),
                rival.answer.at("rival").get<std::string>().c_str(),
                rival.answer.at("form").get<std::string>().c_str());
}

}  // namespace

void add_step(CLI::App& app) {
  auto arguments = std::make_shared<StepArguments>();
  auto* command =
      app.add_subcommand("step", "A training step of PixArt: forward, loss, backward, clip, AdamW, EMA.");
  const auto number = [&](const char* name, int64_t& value, const char* meaning, int64_t least = 1) {
    command->add_option(name, value, meaning)
        ->check(CLI::Range(least, int64_t(1) << 30))
        ->capture_default_str();
  };
  number("--hidden-size", arguments->shape.hidden_size, "width, a multiple of 4 and of --num-heads");
  number("--depth", arguments->shape.depth, "blocks");
  number("--num-heads", arguments->shape.num_heads, "attention heads");
  number("--latent-size", arguments->shape.input_size, "side of the latent, even");
  number("--batch-size", arguments->batch_size, "samples per step");
  number("--micro-batch-size", arguments->micro_batch_size, "samples per pass; 0: all", 0);
  number("--caption-tokens", arguments->text.max_tokens, "tokens per caption");
  number("--caption-width", arguments->text.caption_channels, "channels of a token");
  number("--activation-checkpointing", arguments->recompute_every, "as in run files: 0 none, 1 all", 0);
  number("--steps", arguments->steps, "measured steps");
  number("--samples", arguments->samples, "samples of the feature sets, with --loader");
  number("--warmup-steps", arguments->warmup_steps, "steps before the measured ones", 0);
  number("--threads", arguments->threads, "CPU threads; 0: the cores of this machine", 0);
  command->add_option(
      "--captions", arguments->captions,
      "tokens of captions, spread evenly over a range, e.g. 60-120 (default: --caption-tokens)");
  command->add_flag("--loader", arguments->loader,
                    "read the samples from feature sets, which are made first");
  command->add_option("--dir", arguments->folder, "folder in which they are made and removed")
      ->capture_default_str();
  command->add_option("--precision", arguments->precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--device", arguments->device, "cpu, cuda or auto")->capture_default_str();
  command->add_option("--rival", arguments->rival,
                      "a Python with torch: PyTorch eager makes each step too, in turn with pixart");
  command->add_flag("--compiled", arguments->compiled,
                    "with --rival: torch.compile makes each step, too; it needs a C++ compiler");
  command->add_option("--script", arguments->script, "script of the rival")->capture_default_str();
  command->add_option("--form", arguments->form,
                      "form of the rival (default: the fastest, which is measured first)");
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->footer(
      "Examples:\n  pixart_bench step --hidden-size 256 --depth 8 --steps 20 --json\n"
      "  pixart_bench step --hidden-size 256 --depth 8 --steps 20 --rival .deps/venv/bin/python\n"
      "  pixart_bench step --hidden-size 256 --depth 8 --captions 16-32 --loader --dir build --json");
  command->callback([arguments] { bench_step(*arguments); });
}

}  // namespace pixart::bench
