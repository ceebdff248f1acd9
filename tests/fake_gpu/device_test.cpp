// The fake GPU itself: memory, streams, devices, and the kernels that it borrows from the CPU.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

namespace pixart::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::KilledBySignal;

constexpr int64_t kBytes = 64 << 20;  // memory of a device

const bool g_loaded = [] {
  ::setenv("PIXART_FAKE_GPU_BYTES", std::to_string(kBytes).c_str(), 1);
  if (::dlopen(PIXART_FAKE_GPU_LIBRARY, RTLD_NOW | RTLD_GLOBAL) != nullptr) return true;
  std::fprintf(stderr, "%s\n", ::dlerror());
  std::abort();
}();

at::Device gpu(int index = 0) { return {at::kCUDA, c10::DeviceIndex(index)}; }
at::Tensor random_on_gpu(at::IntArrayRef sizes, int index = 0) { return at::randn(sizes).to(gpu(index)); }
c10::Stream new_stream(int index = 0) {
  return c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(gpu(index));
}
bool has_context(int index) { return at::detail::getCUDAHooks().hasPrimaryContext(c10::DeviceIndex(index)); }

// What the fake GPU prints while `work` runs.
template <class Work>
std::string printed_by(const Work& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST(DeviceDeathTest, AHostAccessIsASegmentationFault) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const at::Tensor tensor = at::zeros({4}, at::TensorOptions(gpu()));
  const auto is_fault = [](int status) {  // AddressSanitizer ends the process itself
    return KilledBySignal(SIGSEGV)(status) || WEXITSTATUS(status) == 1;
  };
  EXPECT_EXIT(std::printf("%f\n", double(*tensor.const_data_ptr<float>())), is_fault, "");
}

TEST(Device, FreshMemoryIsNotANumber) {
  EXPECT_TRUE(at::empty({100}, at::TensorOptions(gpu())).isnan().all().item<bool>());
}

TEST(Device, KernelsAreThoseOfTheCpu) {
  const at::Tensor x = at::randn({6, 8}), w = at::randn({8, 8});
  const auto compute = [](at::Tensor a, at::Tensor b) {
    a = a.detach().requires_grad_(true);
    at::Tensor y = at::layer_norm(at::gelu(a.matmul(b)), {8}).index_select(0, at::arange(3, a.device()));
    y = at::cat({y.slice(1, 0, 4), y.t().contiguous().view({3, 8}).slice(1, 4)}, 1).unsqueeze(0);
    torch::autograd::backward({(y * y).sum() + y.max()}, {});
    return a.grad();
  };
  EXPECT_TRUE(at::allclose(compute(x, w), compute(x.to(gpu()), w.to(gpu())).cpu()));
}

TEST(Device, AttentionIsThatOfTheCpu) {
  const at::Tensor q = at::randn({2, 3, 5, 8}), k = at::randn({2, 3, 7, 8}), v = at::randn({2, 3, 7, 8});
  const at::Tensor mask = at::rand({2, 1, 1, 7}) > 0.3;
  const auto compute = [](at::Tensor a, const at::Tensor& b, const at::Tensor& c, const at::Tensor& m) {
    a = a.detach().requires_grad_(true);
    torch::autograd::backward({at::scaled_dot_product_attention(a, b, c, m).pow(2).sum()}, {});
    return a.grad();
  };
  const auto on_gpu = compute(q.to(gpu()), k.to(gpu()), v.to(gpu()), mask.to(gpu()));
  EXPECT_TRUE(at::allclose(compute(q, k, v, mask), on_gpu.cpu(), 1e-4, 1e-6));
}

// Texts of 3, 5 and 1 keys, and one of two keys that no query reads.
TEST(Device, AttentionOfPackedTextsIsThatOfEachText) {
  const auto half = at::TensorOptions().dtype(at::kBFloat16);
  const at::Tensor q = at::randn({9, 2, 8}, half), kv = at::randn({11, 2, 2, 8}, half),
                   pull = at::randn({9, 2, 8}, half);
  const std::vector<int> queries = {0, 4, 5, 9, 9}, keys = {0, 3, 8, 9, 11};
  const auto heads = [](const at::Tensor& x, const std::vector<int>& bounds, size_t i) {
    return x.narrow(0, bounds[i], bounds[i + 1] - bounds[i]).transpose(0, 1).unsqueeze(0);
  };
  const auto gradients = [&](const at::Tensor& a, const at::Tensor& b, const auto& attend) {
    const at::Tensor x = a.detach().requires_grad_(true), y = b.detach().requires_grad_(true);
    const at::Tensor out = attend(x, y.select(1, 0), y.select(1, 1));
    auto result = torch::autograd::grad({(out * pull.to(out.device())).sum()}, {x, y});
    result.push_back(out.detach());
    return result;
  };
  const auto one_by_one =
      gradients(q, kv, [&](const at::Tensor& a, const at::Tensor& k, const at::Tensor& v) {
        std::vector<at::Tensor> parts;
        for (size_t i = 0; i < 3; ++i)
          parts.push_back(
              at::scaled_dot_product_attention(heads(a, queries, i), heads(k, keys, i), heads(v, keys, i))[0]
                  .transpose(0, 1));
        return at::cat(parts);
      });
  const auto packed = gradients(
      q.to(gpu()), kv.to(gpu()), [&](const at::Tensor& a, const at::Tensor& k, const at::Tensor& v) {
        const at::Tensor of_queries = at::tensor(queries, at::kInt).to(gpu()),
                         of_keys = at::tensor(keys, at::kInt).to(gpu());
        return std::get<0>(at::_flash_attention_forward(a, k, v, of_queries, of_keys, 4, 5, 0, false, false,
                                                        std::optional(1 / std::sqrt(8.0))));
      });
  for (size_t i = 0; i < packed.size(); ++i)
    EXPECT_TRUE(at::allclose(packed[i].cpu().to(at::kFloat), one_by_one[i].to(at::kFloat), 1e-6, 1e-6)) << i;
}

TEST(Device, PackedTextsLongerThanTheirBoundAreReported) {
  const auto half = at::TensorOptions(gpu()).dtype(at::kBFloat16);
  const at::Tensor q = at::ones({4, 1, 8}, half), bounds = at::tensor({0, 4}, at::kInt).to(gpu());
  const auto attend = [&] {
    return at::_flash_attention_forward(q, q, q, bounds, bounds, 4, 3, 0, false, false, std::optional(1.0));
  };
  EXPECT_THAT(printed_by(attend), HasSubstr("fault: keys 0 .. 4 of 4 rows, at most 3"));
}

TEST(Streams, EventsHaveAModelledTime) {
  const c10::Stream stream = c10::impl::VirtualGuardImpl(at::kCUDA).getStream(gpu());
  const auto time = [&](int64_t launches) {
    const at::Tensor x = at::ones({1000}, at::TensorOptions(gpu()));
    c10::Event begin(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT),
        end(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    begin.record(stream);
    for (int64_t i = 0; i < launches; ++i) x.add_(1);
    end.record(stream);
    end.synchronize();
    return begin.elapsedTime(end);
  };
  EXPECT_EQ(time(0), 0);
  EXPECT_GT(time(1), 0);
  EXPECT_NEAR(time(6), 3 * time(2), 1e-9);
}

TEST(Device, TensorsOfTwoDevicesDoNotMix) {
  const at::Tensor a = random_on_gpu({4}), b = random_on_gpu({4}, 1);
  EXPECT_THAT([&] { return a + b; }, ::testing::ThrowsMessage<c10::Error>(HasSubstr("two devices")));
  EXPECT_THAT([&] { return a + at::ones({4}); }, ::testing::ThrowsMessage<c10::Error>(HasSubstr("cpu")));
  EXPECT_NO_THROW(a + at::scalar_tensor(2.0)) << "CUDA takes single numbers of the host";
}

TEST(Device, MemoryEndsAtItsSize) {
  const auto stats = [] { return at::accelerator::getDeviceStats(2); };
  std::vector<at::Tensor> parts;
  const auto fill = [&] {
    for (;;) parts.push_back(at::empty({8 << 20}, at::TensorOptions(gpu(2)).dtype(at::kByte)));
  };
  EXPECT_THROW(fill(), c10::OutOfMemoryError);
  EXPECT_EQ(parts.size(), kBytes / (8 << 20));
  EXPECT_EQ(stats().num_ooms, 1);
  EXPECT_EQ(stats().allocated_bytes[0].peak, kBytes);
  parts.clear();
  EXPECT_EQ(stats().allocated_bytes[0].current, 0);
  EXPECT_NO_THROW(at::empty({kBytes}, at::TensorOptions(gpu(2)).dtype(at::kByte)))
      << "the parts are one again";
}

TEST(Device, UseOfFreedMemoryIsReported) {
  at::Tensor owner = random_on_gpu({1000});
  const at::Tensor view = at::from_blob(owner.data_ptr(), {1000}, owner.options());
  owner.reset();
  EXPECT_THAT(printed_by([&] { view.sum(); }), HasSubstr("fault: sum uses device memory that is freed"));
}

TEST(Streams, AReadThatDoesNotWaitIsARace) {
  const at::Tensor tensor = random_on_gpu({100});
  const auto other = new_stream();
  EXPECT_THAT(printed_by([&] {
                tensor.add_(1);
                const c10::StreamGuard guard(other);
                tensor.mul(2);
              }),
              HasSubstr("does not wait for add on stream 0 of device 0"));
}

TEST(Streams, AWriteThatDoesNotWaitForAReadIsARace) {
  const at::Tensor tensor = random_on_gpu({100});
  at::Tensor kept;
  EXPECT_THAT(printed_by([&] {
                {
                  const c10::StreamGuard guard(new_stream());
                  kept = tensor.narrow(0, 50, 50).mul(2);
                }
                tensor.narrow(0, 0, 50).zero_();
              }),
              "");
  EXPECT_THAT(printed_by([&] { tensor.zero_(); }),
              HasSubstr("zero_ on stream 0 of device 0 overwrites what mul"));
}

TEST(Streams, EventsAndWaitsOrder) {
  EXPECT_EQ(printed_by([] {
              const at::Tensor tensor = random_on_gpu({100});
              const auto other = new_stream();
              const c10::impl::VirtualGuardImpl streams(at::kCUDA);
              tensor.add_(1);
              c10::Event event(at::kCUDA);
              event.record(streams.getStream(gpu()));
              event.block(other);
              {
                const c10::StreamGuard guard(other);
                tensor.mul_(2);
                other.synchronize();
              }
              tensor.add_(3);
            }),
            "");
}

TEST(Streams, MemoryOfAnotherStreamIsFreedForItsOwnStream) {
  EXPECT_EQ(printed_by([] {
              const auto other = new_stream();
              for (int i = 0; i < 3; ++i) {
                at::Tensor tensor = at::zeros({100}, at::TensorOptions(gpu()));
                tensor.reset();
                const c10::StreamGuard guard(other);
                at::ones({100}, at::TensorOptions(gpu()));
              }
            }),
            "");
}

// Needs record_stream().
TEST(Streams, ATensorFreedWhileAnotherStreamUsesItIsARace) {
  const auto use_elsewhere = [](bool recorded) {
    const auto other = new_stream();
    at::Tensor tensor = at::zeros({100}, at::TensorOptions(gpu())), kept;
    c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeStream(c10::Stream(c10::Stream::DEFAULT, gpu()));
    {
      const c10::StreamGuard guard(other);
      kept = tensor.mul(2);
      if (recorded) tensor.record_stream(other);
    }
    tensor.reset();
    at::zeros({100}, at::TensorOptions(gpu()));  // takes the same memory
  };
  EXPECT_EQ(printed_by([&] { use_elsewhere(true); }), "");
  EXPECT_THAT(printed_by([&] { use_elsewhere(false); }), HasSubstr("overwrites what mul"));
}

TEST(Contexts, AreMadeByWhatCudaMakesThemBy) {
  std::thread([] {
    const c10::impl::VirtualGuardImpl guards(at::kCUDA);
    guards.uncheckedSetDevice(gpu(5));
    EXPECT_FALSE(has_context(5)) << "it is only chosen";
    at::empty({1}, at::TensorOptions(at::kCUDA));
    EXPECT_TRUE(has_context(5));
  }).join();
  std::thread([] {
    c10::Event event(at::kCUDA);
    event.record(c10::Stream(c10::Stream::DEFAULT, gpu(6)));
    EXPECT_TRUE(has_context(6));
  }).join();
  EXPECT_FALSE(has_context(7));
}

TEST(Transfers, PinnedMemoryIsKnown) {
  EXPECT_TRUE(at::empty({100}, at::TensorOptions().pinned_memory(true)).is_pinned());
  EXPECT_FALSE(at::empty({100}).is_pinned());
}

TEST(Transfers, DataArrivesWhenTheHostKnowsThatTheCopyIsDone) {
  const at::Tensor tensor = at::ones({100}).to(gpu());
  at::Tensor host = at::zeros({100}, at::TensorOptions().pinned_memory(true));
  host.copy_(tensor, /*non_blocking=*/true);
  tensor.zero_();
  EXPECT_TRUE(host.isnan().all().item<bool>());
  c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeStream(c10::Stream(c10::Stream::DEFAULT, gpu()));
  EXPECT_TRUE((host == 1).all().item<bool>());
}

TEST(Transfers, PinnedMemoryThatChangesTooEarlyIsReported) {
  const auto send = [](bool wait) {
    const at::Tensor host = at::ones({100}, at::TensorOptions().pinned_memory(true));
    const at::Tensor tensor = host.to(gpu(), at::kFloat, /*non_blocking=*/true);
    if (wait) tensor.sum().item();
    host.zero_();
    tensor.sum().item();
  };
  EXPECT_EQ(printed_by([&] { send(true); }), "");
  EXPECT_THAT(printed_by([&] { send(false); }), HasSubstr("the host changed pinned memory"));
}

}  // namespace
}  // namespace pixart::testing
