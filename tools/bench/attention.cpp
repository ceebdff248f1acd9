// The attention layers of a PixArt block with their gradients, against the same layers with LibTorch's
// scaled_dot_product_attention: self-attention of image tokens, and cross-attention to captions of different
// lengths, which LibTorch's gets padded, with a mask.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "benchmarks.h"
#include "layer_trial.h"
#include "made_features.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"

namespace pixart::bench {

namespace {

struct AttentionArguments {
  int64_t hidden_size = 256, num_heads = 4, tokens = 256, caption_tokens = 120, batch_size = 4, rounds = 10,
          threads = 0;
  std::string captions, precision = "fp32", device = "cpu";
  bool json = false;
};

at::Tensor in_heads(const at::Tensor& x, int64_t num_heads) {
  return x.unflatten(-1, {num_heads, x.size(-1) / num_heads}).transpose(1, 2);
}

at::Tensor product(const nn::Linear& layer, const at::Tensor& x) {
  return at::linear(x, layer.weight.to(x.scalar_type()), layer.bias.to(x.scalar_type()));
}

// As PyTorch calls it, with cuDNN's kernels where LibTorch prefers them.
at::Tensor sdpa(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const std::optional<at::Tensor>& mask = {}) {
  at::globalContext().setSDPUseCuDNN(true);
  const at::Tensor out = at::scaled_dot_product_attention(q, k, v, mask);
  nn::configure_attention();
  return out.transpose(1, 2).flatten(2);
}

struct Layers {
  nn::StateDict state;
  nn::SelfAttention self;
  nn::CrossAttention cross;

  Layers(const AttentionArguments& a, at::Device device)
      : state({.dtype = at::kFloat, .device = device}),
        self(nn::Scope(state) / "attn", a.hidden_size, a.num_heads),
        cross(nn::Scope(state) / "cross_attn", a.hidden_size, a.num_heads) {
    for (const at::Tensor& weight : state.trainable()) {
      const at::Tensor values =
          at::randn(weight.sizes(), at::detail::createCPUGenerator(uint64_t(weight.numel())));
      at::Tensor(weight).copy_(values / std::sqrt(double(a.hidden_size))).set_requires_grad(true);
    }
  }
};

Trial self_trial(const AttentionArguments& a, const nn::SelfAttention& layer, const at::Tensor& x) {
  const auto rival = [&layer, x, heads = a.num_heads] {
    const auto parts = product(layer.qkv, x).chunk(3, -1);
    return product(layer.proj,
                   sdpa(in_heads(parts[0], heads), in_heads(parts[1], heads), in_heads(parts[2], heads)));
  };
  return {.contestants = {{"pixart", [&layer, x] { return layer(x); }}, {"libtorch", rival}},
          .inputs = {x, layer.qkv.weight, layer.proj.weight},
          .rounds = a.rounds};
}

Trial cross_trial(const AttentionArguments& a, const nn::CrossAttention& layer, const at::Tensor& x,
                  const at::Tensor& text, const at::Tensor& mask) {
  const auto ours = [=, &layer] {
    nn::PackedText packed = nn::pack_text(text, mask, a.hidden_size / a.num_heads);
    nn::set_queries(packed, x.size(1));
    return layer(x, packed);
  };
  const at::Tensor keep = mask.ne(0).view({mask.size(0), 1, 1, mask.size(1)}).to(x.device());
  const auto rival = [=, &layer, heads = a.num_heads] {
    const auto parts = product(layer.kv_linear, text).chunk(2, -1);
    const at::Tensor q = in_heads(product(layer.q_linear, x), heads);
    return product(layer.proj, sdpa(q, in_heads(parts[0], heads), in_heads(parts[1], heads), keep));
  };
  return {.contestants = {{"pixart", ours}, {"libtorch", rival}},
          .inputs = {x, layer.q_linear.weight, layer.kv_linear.weight, layer.proj.weight},
          .rounds = a.rounds};
}

void bench_attention(const AttentionArguments& a) {
  const at::Device device = nn::select_device(a.device);
  nn::set_num_threads(a.threads);
  nn::keep_freed_memory();
  at::Generator generator = at::detail::createCPUGenerator(/*seed=*/1);
  const auto lengths = a.captions.empty() ? CaptionLengths{a.caption_tokens, a.caption_tokens}
                                          : caption_lengths(a.captions, a.caption_tokens);
  const auto dtype = a.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const Layers layers(a, device);
  const auto made = [&](int64_t tokens) {
    return at::randn({a.batch_size, tokens, a.hidden_size}, generator).to(device, dtype);
  };
  const at::Tensor x = made(a.tokens).set_requires_grad(true), text = made(a.caption_tokens);
  at::Tensor mask = at::zeros({a.batch_size, a.caption_tokens}, at::kLong);
  for (int64_t i = 0; i < a.batch_size; ++i) mask[i].narrow(0, 0, lengths.of(i)).fill_(1);
  nlohmann::ordered_json result = {
      {"benchmark", "attention"},
      {"device", device.str()},
      {"precision", a.precision},
      {"hidden_size", a.hidden_size},
      {"num_heads", a.num_heads},
      {"batch_size", a.batch_size},
      {"tokens", a.tokens},
      {"captions", std::to_string(lengths.least) + "-" + std::to_string(lengths.most)},
      {"threads", at::get_num_threads()}};
  result["self"] = race(self_trial(a, layers.self, x));
  result["cross"] = race(cross_trial(a, layers.cross, x, text, mask));
  if (a.json) {
    std::printf("%s\n", result.dump(1).c_str());
    return;
  }
  for (const char* part : {"self", "cross"})
    std::printf("%s-attention: %.2f ms, %.2f times as fast as LibTorch's\n", part,
                result[part]["ms"]["pixart"]["median"].get<double>(),
                result[part]["speedup_over"]["libtorch"].get<double>());
}

}  // namespace

void add_attention(CLI::App& app) {
  auto arguments = std::make_shared<AttentionArguments>();
  auto* command = app.add_subcommand(
      "attention", "Attention layers with their gradients, against LibTorch's scaled_dot_product_attention.");
  const auto number = [&](const char* name, int64_t& value, const char* meaning, int64_t least = 1) {
    command->add_option(name, value, meaning)
        ->check(CLI::Range(least, int64_t(1) << 20))
        ->capture_default_str();
  };
  number("--hidden-size", arguments->hidden_size, "width, a multiple of --num-heads");
  number("--num-heads", arguments->num_heads, "attention heads");
  number("--tokens", arguments->tokens, "image tokens: 256 for 256 pixels");
  number("--caption-tokens", arguments->caption_tokens, "tokens to which LibTorch's captions are padded");
  number("--batch-size", arguments->batch_size, "samples");
  number("--rounds", arguments->rounds, "measured passes of each");
  number("--threads", arguments->threads, "CPU threads; 0: the cores of this machine", 0);
  command->add_option("--captions", arguments->captions,
                      "tokens of captions, spread evenly over a range, e.g. 60-104");
  command->add_option("--precision", arguments->precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--device", arguments->device, "cpu, cuda or auto")->capture_default_str();
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->footer(
      "Example:\n  pixart_bench attention --hidden-size 1152 --num-heads 16 --captions 60-104 --json");
  command->callback([arguments] { bench_attention(*arguments); });
}

}  // namespace pixart::bench
