// The communicator of GPUs with a device and an NCCL of our own: one rank, whose calls do what a test wants.
#include "nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>

#include "device_error.h"
#include "pixart/base/error.h"

namespace pixart::distributed {
namespace {

using ::testing::HasSubstr;

std::atomic<bool> device_is_done = true, device_is_broken = false;

// Its memory is the host's.
struct FakeDevice final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1> {
  void* getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    static int some = 0;
    *event = &some;
  }
  bool queryEvent(void*) const override {
    if (device_is_broken) throw std::runtime_error("an illegal memory access was encountered");
    return device_is_done;
  }
};
const c10::impl::DeviceGuardImplRegistrar registered(c10::DeviceType::PrivateUse1, new FakeDevice);

const at::Device kDevice(at::kPrivateUse1, 0);

enum class Call { kReturns, kHangs, kHangsUntilAbort };
std::atomic<Call> sum = Call::kReturns, abort_call = Call::kReturns, destroy = Call::kReturns;
std::atomic<int> num_sums = 0, num_aborts = 0, num_destroyed = 0;

int pass(const std::atomic<Call>& how) {
  while (how == Call::kHangs || (how == Call::kHangsUntilAbort && num_aborts == 0)) ::usleep(1000);
  return how == Call::kReturns ? 0 : 3;
}

NcclLibrary fake_library() {
  NcclLibrary library{};
  library.get_error_string = [](int) { return "an error of NCCL"; };
  library.get_last_error = [](void*) { return ""; };
  library.get_unique_id = [](NcclId*) { return 0; };
  library.comm_init_rank = [](void** comm, int, NcclId, int) {
    *comm = &num_sums;
    return 0;
  };
  library.comm_destroy = [](void*) { return ++num_destroyed, pass(destroy); };
  library.comm_abort = [](void*) { return ++num_aborts, pass(abort_call); };
  library.comm_get_async_error = [](void*, int* error) { return *error = 0; };
  library.all_reduce = [](const void*, void*, size_t, int, int, void*, void*) {
    return ++num_sums, pass(sum);
  };
  return library;
}

constexpr unsigned kMostSeconds = 60;

class NcclCommunicatorTest : public ::testing::Test {
 protected:
  NcclCommunicatorTest() {
    ::alarm(kMostSeconds);  // what hangs is killed
    device_is_done = true;
    device_is_broken = false;
    sum = abort_call = destroy = Call::kReturns;
    num_sums = num_aborts = num_destroyed = 0;
  }
  ~NcclCommunicatorTest() override { ::alarm(0); }
};

std::unique_ptr<Communicator> make() {
  CommunicatorOptions options;
  options.timeout_seconds = 0.2;
  auto mesh = std::make_unique<Mesh>(0, std::vector<Link>(1), options.timeout_seconds);
  return make_nccl_communicator(
      std::make_unique<CpuCommunicator>(std::move(mesh)), kDevice, options, fake_library(),
      {.abort_seconds = 0.2, .last_word_seconds = 0.2, .look_seconds = 0.01, .end_seconds = 0.2});
}

void sum_once(Communicator& communicator, const char* phase) {
  static float values[4] = {};
  at::Tensor tensor = at::from_blob(
      values, {4}, [](void*) {}, at::TensorOptions().dtype(at::kFloat).device(kDevice), kDevice);
  communicator.all_reduce_sum(tensor, phase);
}

TEST_F(NcclCommunicatorTest, SumsAndEnds) {
  {
    const auto communicator = make();
    for (int step = 0; step < 3; ++step) sum_once(*communicator, "step");
  }
  EXPECT_EQ(num_sums, 3);
  EXPECT_EQ(num_destroyed, 1);
  EXPECT_EQ(num_aborts, 0);
}

TEST_F(NcclCommunicatorTest, ACallInWhichTheHostWaitsForEverIsAborted) {
  sum = Call::kHangsUntilAbort;
  const auto communicator = make();
  const std::string message = device_error_of([&] { sum_once(*communicator, "step 1: gradients"); });
  EXPECT_THAT(message, HasSubstr("\"step 1: gradients\" has not returned from the library after 0.2 s"));
  EXPECT_EQ(num_aborts, 1);
  EXPECT_EQ(device_error_of([&] { sum_once(*communicator, "step 2"); }), message);
  EXPECT_EQ(num_sums, 1) << "an aborted NCCL was called";
}

TEST_F(NcclCommunicatorTest, AnErrorOfTheDeviceIsSaid) {
  device_is_broken = true;
  const auto communicator = make();
  sum_once(*communicator, "step 1");
  while (num_aborts == 0) ::usleep(1000);
  EXPECT_THAT(device_error_of([&] { sum_once(*communicator, "step 2"); }),
              HasSubstr("an illegal memory access was encountered"));
}

TEST_F(NcclCommunicatorTest, TheEndOfOneWithABrokenDeviceIsNotTheEndOfTheProcess) {
  {
    const auto communicator = make();
    sum_once(*communicator, "step 1");
    device_is_broken = true;
  }
  EXPECT_EQ(num_aborts, 1);
  EXPECT_EQ(num_destroyed, 0);
}

TEST_F(NcclCommunicatorTest, AnAbortThatDoesNotReturnEndsTheProcess) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    sum = abort_call = Call::kHangs;
    sum_once(*make(), "step 1");
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "\"step 1\" has not returned .*ends now");
}

TEST_F(NcclCommunicatorTest, AnEndThatDoesNotReturnEndsTheProcess) {
  const auto hang = [] {
    ::alarm(kMostSeconds);
    destroy = Call::kHangs;
    sum_once(*make(), "step 1");
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(76), "rank 0: NCCL does not end.*ends now");
}

}  // namespace
}  // namespace pixart::distributed
