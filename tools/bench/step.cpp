// One training step of PixArt on random data with the Trainer: forward, IDDPM loss with learned sigma,
// backward, clip, AdamW and EMA. The rival is scripts/bench_step.py, PyTorch eager.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/models/transformer.h"
#include "pixart/nn/device.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "rival.h"

namespace pixart::bench {

namespace {

struct Arguments {
  models::TransformerShape shape{.input_size = 32, .hidden_size = 256, .depth = 8, .num_heads = 4};
  models::TextSizes text{.caption_channels = 128, .max_tokens = 32};
  int64_t batch_size = 4, micro_batch_size = 0, steps = 20, warmup_steps = 3, threads = 0,
          recompute_every = 0;
  std::string precision = "fp32", device = "cpu";
  std::string rival, script = "scripts/bench_step.py", form;  // the Python that runs it; empty: no rival
  bool json = false;
};

constexpr uint64_t kSeed = 1;
constexpr double kDropout = 0.1;

at::Tensor normal(at::IntArrayRef shape, uint64_t stream, at::Device device) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({kSeed, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor.to(device);
}

class RandomSamples : public train::Objective {
 public:
  RandomSamples(const models::Transformer& model, const Arguments& arguments, at::Device device)
      : model_(model),
        device_(device),
        tables_(diffusion::make_noise_schedule("linear", 1000), device),
        latents_(normal({arguments.batch_size, 4, arguments.shape.input_size, arguments.shape.input_size}, 1,
                        device)),
        captions_(normal({arguments.batch_size, arguments.text.max_tokens, arguments.text.caption_channels},
                         2, device)) {}

  at::Tensor loss(const data::Batch& batch) override {
    const at::Tensor rows = at::tensor(batch.plan.rows, at::kLong).to(device_);
    const auto draw = train::draw_diffusion_inputs(kSeed, batch.plan.positions, latents_.sizes().slice(1),
                                                   tables_.schedule().num_steps(), kDropout);
    const models::Condition text{.caption = captions_.index_select(0, rows),
                                 .mask = at::ones({rows.numel(), captions_.size(1)}, rows.options()),
                                 .drop = draw.drop.to(device_)};
    return train::diffusion_loss(
        tables_, [&](const at::Tensor& x, const at::Tensor& t) { return model_.forward(x, t, text); },
        latents_.index_select(0, rows), draw.noise.to(device_), draw.t.to(device_));
  }

 private:
  const models::Transformer& model_;
  at::Device device_;
  diffusion::LossTables tables_;
  at::Tensor latents_, captions_;
};

run::TrainerConfig trainer_config(const Arguments& arguments) {
  run::TrainerConfig config;
  config.steps = arguments.steps + arguments.warmup_steps;
  config.batch_size = arguments.batch_size;
  config.gradient_clip = 0.01;
  config.ema_decay = 0.9999;
  return config;
}

data::Loader make_loader(const Arguments& arguments) {
  auto order =
      std::make_shared<data::SampleOrder>(0, std::vector<data::OrderPart>{{.rows = arguments.batch_size}});
  return {std::move(order),
          {.batch_size = arguments.batch_size, .micro_batch_size = arguments.micro_batch_size},
          {.threads = 0},
          [](const data::MicroBatch& plan) { return data::Batch{.plan = plan}; }};
}

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

// The same step in another process, which waits while this process works.
std::unique_ptr<Rival> start_rival(const Arguments& a) {
  if (a.rival.empty()) return nullptr;
  require_files({a.script});
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
  if (!a.form.empty()) command.insert(command.end(), {"--form", a.form});
  return std::make_unique<Rival>(command);
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

void bench(const Arguments& arguments) {
  const at::Device device = nn::select_device(arguments.device);
  nn::set_num_threads(arguments.threads);
  nn::keep_freed_memory();
  models::Execution execution{.dtype = {}, .recompute_every = arguments.recompute_every};
  if (arguments.precision == "bf16") execution.dtype = at::kBFloat16;
  nn::StateDict state({.dtype = at::kFloat, .device = device});
  const auto config = models::transformer_config("PixArt", arguments.shape, {.text = arguments.text});
  const auto model = models::Transformer(nn::Scope(state), config).with(execution);
  models::initialize(state, config, {.seed = kSeed, .embedder_std = 0.0});
  RandomSamples objective(model, arguments, device);
  data::Loader loader = make_loader(arguments);
  const auto alone = distributed::make_communicator({}, device, {});
  train::Trainer trainer(trainer_config(arguments), state, objective, loader, *alone);
  const auto rival = start_rival(arguments);

  Times times, rival_times;
  nlohmann::json answer;
  double loss = 0;
  for (int64_t step = -arguments.warmup_steps; step < arguments.steps; ++step) {
    if (rival) answer = rival->ask("step");
    const double start = monotonic_seconds(), cpu_start = cpu_seconds();
    loss = trainer.train_step().loss;
    if (step < 0) continue;
    times.ms.push_back(1e3 * (monotonic_seconds() - start));
    times.cpu_ms.push_back(1e3 * (cpu_seconds() - cpu_start));
    if (!rival) continue;
    rival_times.ms.push_back(answer.at("ms"));
    rival_times.cpu_ms.push_back(answer.at("cpu_ms"));
  }
  nlohmann::ordered_json result = {
      {"benchmark", "step"},
      {"parameters", state.num_parameters()},
      {"batch_size", arguments.batch_size},
      {"precision", arguments.precision},
      {"activation_checkpointing", arguments.recompute_every},
      {"device", device.str()},
      {"threads", at::get_num_threads()},
      {"step_ms", spread(times.ms)},
      {"cpu_ms", median(times.cpu_ms)},
      {"images_per_second", 1e3 * double(arguments.batch_size) / median(times.ms)},
      {"peak_bytes", peak_bytes(device)},
      {"loss", loss}};
  if (rival) result["against"] = against(times, rival_times, answer);
  if (arguments.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return;
  }
  std::printf("%.1f ms per step (%.1f .. %.1f), %.2f images per second, %.0f MB at most\n", median(times.ms),
              result["step_ms"]["min"].get<double>(), result["step_ms"]["max"].get<double>(),
              result["images_per_second"].get<double>(), double(result["peak_bytes"].get<int64_t>()) / 1e6);
  if (rival)
    std::printf("%.2f times as fast as %s (%s)\n", result["against"]["ratio"]["of_medians"].get<double>(),
                answer.at("rival").get<std::string>().c_str(), answer.at("form").get<std::string>().c_str());
}

}  // namespace

void add_step(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
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
  number("--warmup-steps", arguments->warmup_steps, "steps before the measured ones", 0);
  number("--threads", arguments->threads, "CPU threads; 0: the cores of this machine", 0);
  command->add_option("--precision", arguments->precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--device", arguments->device, "cpu, cuda or auto")->capture_default_str();
  command->add_option("--rival", arguments->rival,
                      "a Python with torch: PyTorch eager makes each step too, in turn with pixart");
  command->add_option("--script", arguments->script, "script of the rival")->capture_default_str();
  command->add_option("--form", arguments->form,
                      "form of the rival (default: the fastest, which is measured first)");
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->footer(
      "Examples:\n  pixart_bench step --hidden-size 256 --depth 8 --steps 20 --json\n"
      "  pixart_bench step --hidden-size 256 --depth 8 --steps 20 --rival .deps/venv/bin/python");
  command->callback([arguments] { bench(*arguments); });
}

}  // namespace pixart::bench
