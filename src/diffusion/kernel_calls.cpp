#include "kernel_calls.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>
#include <unordered_map>

#include "kernels/noising.h"
#include "pixart/base/error.h"
#include "pixart/base/own_kernels.h"
#include "pixart/base/philox.h"

namespace pixart::diffusion {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

#ifdef PIXART_WITH_CUDA
// CUDA's description of the error of the launch; "" if there is none. `launch` takes the stream.
template <class Launch>
std::string problem_of(const at::Device& device, const Launch& launch) {
  const c10::DeviceGuard guard(device);
  const c10::impl::VirtualGuardImpl streams(device.type());
  const char* error = launch(streams.getStreamNativeHandle(streams.getStream(device)));
  return error == nullptr ? "" : error;
}
const char* launch_noising(const kernels::NoisingBuffers& buffers, const kernels::NoisingSizes& sizes,
                           void* stream) {
  return kernels::noising_cuda(buffers, sizes, stream);
}
const char* launch_normals(const int64_t* positions, float* out, const kernels::NoisingSizes& sizes,
                           void* stream) {
  return kernels::normals_cuda(positions, out, sizes, stream);
}
template <class Output>
const char* launch_loss(const kernels::LossInputs<Output>& inputs, const kernels::LossSetting& setting,
                        const kernels::LossResults& results, void* stream) {
  return kernels::loss_cuda(inputs, setting, results, stream);
}
template <class Output>
const char* launch_gradient(const kernels::LossInputs<Output>& inputs, const kernels::LossSetting& setting,
                            const float* scale, Output* gradient, void* stream) {
  return kernels::loss_gradient_cuda(inputs, setting, scale, gradient, stream);
}
#else
template <class Launch>
std::string problem_of(const at::Device&, const Launch&) {
  return "this build has no CUDA kernels (no nvcc was found)";
}
template <class... Arguments>
const char* no_kernel(const Arguments&...) {
  return nullptr;
}
constexpr auto launch_noising = [](const auto&... arguments) { return no_kernel(arguments...); };
constexpr auto launch_normals = launch_noising, launch_loss = launch_noising,
               launch_gradient = launch_noising;
#endif

template <class Launch>
void run(const at::Tensor& on, const Launch& launch) {
  const std::string problem = problem_of(on.device(), launch);
  if (!problem.empty())
    throw UserError(
        fmt::format("The GPU {} refused a kernel of the loss: {}. `pixart doctor` describes this machine.",
                    on.device().str(), problem),
        ExitCode::kDevice);
}

const float* floats(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  PIXART_CHECK(tensor.scalar_type() == at::kFloat && tensor.is_contiguous() && !tensor.is_cpu(),
               "not a contiguous float32 tensor of the GPU");
  return tensor.const_data_ptr<float>();
}

const int64_t* integers(const at::Tensor& tensor, int64_t count) {
  PIXART_CHECK(tensor.scalar_type() == at::kLong && tensor.is_contiguous() && tensor.numel() == count &&
                   !tensor.is_cpu(),
               "not {} contiguous integers of the GPU", count);
  return tensor.const_data_ptr<int64_t>();
}

int64_t per_image_of(const at::Tensor& images) {
  return images.numel() / std::max<int64_t>(images.size(0), 1);
}

kernels::LossSetting setting_of(const KernelLoss& loss, const at::Tensor& output, const at::Tensor& x_start) {
  return {.compared = loss.compared,
          .bound = loss.bound,
          .predicts_noise = loss.predicts_noise,
          .learns_variance = loss.learns_variance,
          .bound_scale = float(loss.bound_scale),
          .batch = x_start.size(0),
          .per_image = per_image_of(x_start),
          .output_per_image = per_image_of(output),
          .tables = loss.tables};
}

template <class Output>
kernels::LossInputs<Output> loss_inputs(const at::Tensor& output, const NoisyLatents& noisy,
                                        const at::Tensor& t) {
  return {.output = static_cast<const Output*>(output.const_data_ptr()),
          .x_start = floats(noisy.x_start),
          .x_t = floats(noisy.x_t),
          .noise = floats(noisy.noise),
          .t = integers(t, output.size(0))};
}

// Calls `work` with a value of the type in which a kernel reads the output.
template <class Work>
void with_type_of(const at::Tensor& output, const Work& work) {
  if (output.scalar_type() == at::kFloat)
    work(float());
  else
    work(Bfloat16Bits());
}

struct HeldLoss : torch::CustomClassHolder {  // lets an autograd context keep the setting
  explicit HeldLoss(KernelLoss l) : loss(std::move(l)) {}
  KernelLoss loss;
};

struct LossFunction : torch::autograd::Function<LossFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& given,
                               const c10::intrusive_ptr<HeldLoss>& held, const NoisyLatents& noisy,
                               const at::Tensor& t) {
    const at::Tensor output = given.contiguous();
    const auto setting = setting_of(held->loss, output, noisy.x_start);
    const int64_t chunks = kernels::loss_chunks(setting.per_image);
    const auto options = noisy.x_start.options();
    const at::Tensor partials = at::empty({setting.batch, chunks, 2}, options.dtype(at::kDouble));
    at::Tensor results = at::empty({3, setting.batch}, options);
    float* first = results.mutable_data_ptr<float>();
    const kernels::LossResults into{.partials = partials.mutable_data_ptr<double>(),
                                    .loss = first,
                                    .mse = first + setting.batch,
                                    .vb = first + 2 * setting.batch};
    with_type_of(output, [&](auto type) {
      const auto inputs = loss_inputs<decltype(type)>(output, noisy, t);
      run(output, [&](void* stream) { return launch_loss(inputs, setting, into, stream); });
    });
    context->save_for_backward({output, noisy.x_start, noisy.x_t, noisy.noise, t});
    context->saved_data["loss"] = at::IValue::make_capsule(held);
    const variable_list terms = {results[0], results[1], results[2]};
    context->mark_non_differentiable({terms[1], terms[2]});
    return terms;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto held = c10::static_intrusive_pointer_cast<HeldLoss>(context->saved_data["loss"].toCapsule());
    const auto saved = context->get_saved_variables();
    const at::Tensor &output = saved[0], &t = saved[4];
    const NoisyLatents noisy{.x_start = saved[1], .noise = saved[3], .x_t = saved[2], .timestep = {}};
    const at::Tensor scale = gradients[0].to(at::kFloat).contiguous();
    at::Tensor gradient = at::empty_like(output);
    const auto setting = setting_of(held->loss, output, noisy.x_start);
    with_type_of(output, [&](auto type) {
      using Output = decltype(type);
      const auto inputs = loss_inputs<Output>(output, noisy, t);
      auto* into = static_cast<Output*>(gradient.mutable_data_ptr());
      run(output,
          [&](void* stream) { return launch_gradient(inputs, setting, floats(scale), into, stream); });
    });
    return {gradient, {}, {}, {}};  // none for the other arguments of forward()
  }
};

uint64_t key_of(uint64_t seed, Purpose purpose) { return philox_key(seed, uint32_t(purpose)); }

}  // namespace

const std::string& kernel_problem(const at::Device& device) {
  static std::mutex mutex;
  static std::unordered_map<at::Device, std::string> problems;
  const std::lock_guard lock(mutex);
  const auto [found, is_new] = problems.try_emplace(device);
  if (is_new)
    found->second = device.is_cpu() ? "a CPU runs no CUDA kernels" : problem_of(device, [](void* stream) {
      return launch_normals(nullptr, nullptr, kernels::NoisingSizes{}, stream);
    });
  return found->second;
}

bool has_kernels(const at::Device& device) {
  return own_kernels() && device.is_cuda() && kernel_problem(device).empty();
}

at::Tensor normals_on_device(uint64_t seed, const at::Tensor& positions, Purpose purpose,
                             at::IntArrayRef shape) {
  std::vector<int64_t> full = {positions.numel()};
  full.insert(full.end(), shape.begin(), shape.end());
  at::Tensor result = at::empty(full, positions.options().dtype(at::kFloat));
  kernels::NoisingSizes sizes{};
  sizes.batch = positions.numel();
  sizes.per_image = per_image_of(result);
  sizes.noise_key = key_of(seed, purpose);
  run(result, [&](void* stream) {
    return launch_normals(integers(positions, sizes.batch), result.mutable_data_ptr<float>(), sizes, stream);
  });
  return result;
}

NoisyLatents noised_by_kernel(const at::Tensor& levels, const LatentMoments& latents, const DrawnNoise& drawn,
                              const at::Tensor& t) {
  const at::Tensor mean = latents.mean.contiguous(), log_var = latents.log_var.contiguous();
  const bool draws = !drawn.noise.defined();
  const int64_t batch = mean.size(0);
  NoisyLatents result{.x_start = at::empty_like(mean),
                      .noise = draws ? at::empty_like(mean) : drawn.noise.contiguous(),
                      .x_t = at::empty_like(mean),
                      .timestep = at::empty({batch}, mean.options())};
  const at::Tensor posterior = draws ? drawn.posterior : drawn.posterior.contiguous();
  const kernels::NoisingBuffers buffers{.mean = floats(mean),
                                        .log_var = floats(log_var),
                                        .shift = floats(latents.shift),
                                        .scale = floats(latents.scale),
                                        .given_posterior = floats(posterior),
                                        .given_noise = draws ? nullptr : floats(result.noise),
                                        .positions = draws ? integers(drawn.positions, batch) : nullptr,
                                        .t = integers(t, batch),
                                        .levels = floats(levels),
                                        .x_start = result.x_start.mutable_data_ptr<float>(),
                                        .noise = draws ? result.noise.mutable_data_ptr<float>() : nullptr,
                                        .x_t = result.x_t.mutable_data_ptr<float>(),
                                        .timestep = result.timestep.mutable_data_ptr<float>()};
  const kernels::NoisingSizes sizes{.batch = batch,
                                    .per_image = per_image_of(mean),
                                    .per_channel = mean.size(2) * mean.size(3),
                                    .num_steps = levels.size(1),
                                    .noise_key = key_of(drawn.seed, Purpose::kNoise),
                                    .posterior_key = key_of(drawn.seed, Purpose::kPosterior)};
  run(mean, [&](void* stream) { return launch_noising(buffers, sizes, stream); });
  return result;
}

bool takes_output(const at::Tensor& output, const at::Tensor& x_start) {
  const auto type = output.scalar_type();
  return has_kernels(output.device()) && (type == at::kFloat || type == at::kBFloat16) &&
         x_start.scalar_type() == at::kFloat && output.dim() == 4 &&
         (output.size(1) == x_start.size(1) || output.size(1) == 2 * x_start.size(1));
}

LossTerms loss_by_kernel(const KernelLoss& loss, const at::Tensor& output, const NoisyLatents& noisy,
                         const at::Tensor& t) {
  const NoisyLatents contiguous{.x_start = noisy.x_start.contiguous(),
                                .noise = noisy.noise.contiguous(),
                                .x_t = noisy.x_t.contiguous(),
                                .timestep = {}};
  const auto terms =
      LossFunction::apply(output, c10::make_intrusive<HeldLoss>(loss), contiguous, t.contiguous());
  return {.loss = terms[0],
          .mse = loss.bound == kernels::Bound::kOnly ? at::Tensor() : terms[1],
          .vb = loss.bound == kernels::Bound::kFrozenMean ? terms[2] : at::Tensor()};
}

}  // namespace pixart::diffusion
