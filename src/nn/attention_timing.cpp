#include "attention_timing.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

#include "pixart/base/cache_folder.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/nvml.h"
#include "pixart/formats/hash.h"
#include "pixart/nn/device.h"

namespace pixart::nn {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kFlashSizes[] = {32, 64, 96, 128, 192, 256}, kCudnnSizes[] = {64, 128};
constexpr double kClearlyFaster = 0.95;
constexpr int kRounds = 5, kCallsOfARound = 4, kWarmUps = 2;
constexpr int64_t kMostValues = int64_t(1) << 25;  // of a tensor that is timed

template <size_t kCount>
int64_t size_with_kernel(int64_t head_size, const int64_t (&sizes)[kCount]) {
  const auto* found =
      std::find_if(std::begin(sizes), std::end(sizes), [&](int64_t s) { return s >= head_size; });
  return found == std::end(sizes) ? head_size : *found;
}

// What the result of a timing depends on.
struct Timed {
  c10::Device device;
  at::ScalarType dtype;
  int64_t num_heads, head_size, queries, keys;

  auto key() const {
    return std::tuple(int(device.index()), int(dtype), num_heads, head_size, queries, keys);
  }
  std::string text() const {
    return fmt::format("{} heads of {} channels, {} queries, {} keys, {}", num_heads, head_size, queries,
                       keys, c10::toString(dtype));
  }
};

std::string machine_text(c10::Device device) {
  const auto slot = pci_bus_id(device);
  const auto nvml = slot ? Nvml::load() : std::nullopt;
  const auto number = nvml ? nvml->find(*slot) : std::nullopt;
  const auto reading = number ? nvml->read(*number) : std::nullopt;
  const auto& hooks = at::detail::getCUDAHooks();
  return fmt::format("{}; LibTorch {}, CUDA {}, cuDNN {}", reading ? reading->name : "GPU without a name",
                     TORCH_VERSION, cuda_version(), hooks.hasCuDNN() ? hooks.versionCuDNN() : 0);
}

at::Tensor padded_heads(const at::Tensor& x, int64_t size) {
  return x.size(-1) == size ? x : at::constant_pad_nd(x, {0, size - x.size(-1)});
}

// As the layers have them: views of what a matrix product wrote.
at::Tensor made_heads(const Timed& timed, int64_t batch, int64_t tokens) {
  const auto options = at::TensorOptions(timed.device).dtype(timed.dtype);
  return at::ones({batch, tokens, timed.num_heads, timed.head_size}, options)
      .transpose(1, 2)
      .set_requires_grad(true);
}

class Trial {
 public:
  Trial(const Timed& timed, int64_t batch)
      : q_(made_heads(timed, batch, timed.queries)),
        k_(made_heads(timed, batch, timed.keys)),
        v_(made_heads(timed, batch, timed.keys)) {}

  void run(const AttentionForm& form) const {
    const at::Tensor out = attention_in(form, q_, k_, v_);
    torch::autograd::grad({out}, {q_, k_, v_}, {at::ones_like(out)});
  }

  double milliseconds(const AttentionForm& form) const {
    const c10::Stream stream = c10::impl::VirtualGuardImpl(at::kCUDA).getStream(q_.device());
    c10::Event begin(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT),
        end(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    begin.record(stream);
    for (int i = 0; i < kCallsOfARound; ++i) run(form);
    end.record(stream);
    end.synchronize();
    return begin.elapsedTime(end) / kCallsOfARound;
  }

 private:
  at::Tensor q_, k_, v_;
};

// Infinite: this GPU or LibTorch does not have the form.
std::vector<double> times_of(const Trial& trial, const std::vector<AttentionForm>& forms) {
  std::vector<double> times(forms.size(), std::numeric_limits<double>::infinity());
  std::vector<bool> works(forms.size(), true);
  for (int round = -kWarmUps; round < kRounds; ++round)
    for (size_t i = 0; i < forms.size(); ++i) {
      if (!works[i]) continue;
      try {
        const double time = trial.milliseconds(forms[i]);
        if (round >= 0) times[i] = std::min(times[i], time);
      } catch (const c10::Error&) {
        works[i] = false;
      }
    }
  return times;
}

AttentionForm timed_form(const Timed& timed, int64_t batch, const std::vector<AttentionForm>& forms) {
  const at::AutoGradMode with_gradients(true);
  const int64_t values = std::max(timed.queries, timed.keys) * timed.num_heads * timed.head_size;
  const Trial trial(timed, std::clamp<int64_t>(kMostValues / values, 1, batch));
  const auto times = times_of(trial, forms);
  size_t best = 0;
  std::vector<std::string> texts;
  for (size_t i = 0; i < forms.size(); ++i) {
    if (times[i] < times[best] * (best == 0 ? kClearlyFaster : 1.0)) best = i;
    if (std::isfinite(times[i])) texts.push_back(fmt::format("{} {:.3f} ms", to_text(forms[i]), times[i]));
  }
  log::info("attention of {}: {}. {} is used.", timed.text(), join(texts, ", "), to_text(forms[best]));
  return forms[best];
}

fs::path cache_file(const std::string& key) {
  const fs::path folder = user_cache_folder();
  return folder.empty() ? folder : folder / "attention" / formats::sha256(key);
}

std::optional<AttentionForm> found_earlier(const std::string& key, const std::vector<AttentionForm>& forms) {
  try {
    const std::string content = read_file(cache_file(key));
    for (const auto& form : forms)
      if (content == key + "\n" + to_text(form) + "\n") return form;
  } catch (const std::exception&) {  // no cache
  }
  return {};
}

void keep(const std::string& key, const AttentionForm& form) {
  try {
    const fs::path file = cache_file(key);
    if (file.empty()) return;
    fs::create_directories(file.parent_path());
    write_file_atomically(file, key + "\n" + to_text(form) + "\n");
  } catch (const std::exception& error) {
    log::debug("the timing of attention is not kept: {}", error.what());
  }
}

AttentionForm find_form(const Timed& timed, int64_t batch) {
  const auto forms = forms_of(timed.head_size, at::detail::getCUDAHooks().hasCuDNN());
  if (forms.size() == 1) return forms[0];
  const std::string key = machine_text(timed.device) + "; " + timed.text();
  if (const auto earlier = found_earlier(key, forms)) {
    log::info("attention of {}: {} is used, which was the fastest when it was timed.", timed.text(),
              to_text(*earlier));
    return *earlier;
  }
  const AttentionForm form = timed_form(timed, batch, forms);
  keep(key, form);
  return form;
}

}  // namespace

std::string to_text(const AttentionForm& form) {
  return fmt::format("{} of {}", form.cudnn ? "cudnn" : "flash", form.head_size);
}

std::vector<AttentionForm> forms_of(int64_t head_size, bool has_cudnn) {
  std::vector<AttentionForm> forms = {{.cudnn = false, .head_size = head_size}};
  if (at::globalContext().deterministicAlgorithms()) return forms;
  const auto add = [&](const AttentionForm& form) {
    if (std::find(forms.begin(), forms.end(), form) == forms.end()) forms.push_back(form);
  };
  add({.cudnn = false, .head_size = size_with_kernel(head_size, kFlashSizes)});
  if (!has_cudnn) return forms;
  add({.cudnn = true, .head_size = head_size});
  add({.cudnn = true, .head_size = size_with_kernel(head_size, kCudnnSizes)});
  return forms;
}

at::Tensor attention_in(const AttentionForm& form, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v) {
  const int64_t size = q.size(-1);
  const double scale = 1 / std::sqrt(double(size));
  const at::Tensor queries = padded_heads(q, form.head_size), keys = padded_heads(k, form.head_size),
                   values = padded_heads(v, form.head_size);
  const bool with_gradient =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  const at::Tensor out =
      form.cudnn ? std::get<0>(at::_scaled_dot_product_cudnn_attention(
                       queries, keys, values, /*attn_bias=*/{}, with_gradient, /*dropout_p=*/0,
                       /*is_causal=*/false, /*return_debug_mask=*/false, scale))
                 : at::scaled_dot_product_attention(queries, keys, values, /*attn_mask=*/{}, /*dropout_p=*/0,
                                                    /*is_causal=*/false, scale);
  return out.size(-1) == size ? out : out.narrow(-1, 0, size);
}

AttentionForm fastest_form(const at::Tensor& q, int64_t keys) {
  static std::mutex mutex;
  static auto* known = new std::map<decltype(std::declval<Timed>().key()), AttentionForm>;
  const auto power = [](int64_t tokens) { return int64_t(std::bit_ceil(uint64_t(tokens))); };
  const Timed timed{.device = q.device(),
                    .dtype = q.scalar_type(),
                    .num_heads = q.size(1),
                    .head_size = q.size(3),
                    .queries = power(q.size(2)),
                    .keys = power(keys)};
  const std::scoped_lock lock(mutex);
  if (const auto found = known->find(timed.key()); found != known->end()) return found->second;
  return known->emplace(timed.key(), find_form(timed, q.size(0))).first->second;
}

}  // namespace pixart::nn
