// What a power cut leaves of a conversion (crash_states.h).
#include "crash_states.h"
#include "io_shim.h"
#include "model_files.h"
#include "pixart/convert/convert.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using testing::CrashState;
using testing::Operation;

class ConversionCrash : public ModelFiles {
 protected:
  ConversionCrash() {
    const models::DitConfig config = {{.input_size = 4, .hidden_size = 16, .depth = 1, .num_heads = 2},
                                      {.num_classes = 3}};
    const auto path = save<models::Dit>("dit.safetensors", config);
    source_ = to_official(open_and_identify(path, "model", {.num_heads = 2}));
    fs::create_directories(watched());
  }
  ~ConversionCrash() override { io_shim_set(&kOff); }

  fs::path watched() const { return folder_ / "watched"; }
  void start_record() const {
    const std::string watched_folder = watched(), log = folder_ / "record";
    const IoShimSettings settings = {.folder = watched_folder.c_str(),
                                     .match = nullptr,
                                     .mode = "record",
                                     .at = 0,
                                     .error = 0,
                                     .log = log.c_str(),
                                     .times = 0};
    io_shim_set(&settings);
  }
  std::vector<Operation> end_record() const {
    io_shim_set(&kOff);
    return testing::read_record(folder_ / "record");
  }
  // Returns the bytes of the weights.
  std::string convert(const std::string& target, const std::string& conversion,
                      const TargetOptions& options) const {
    write_transformer(source_, watched() / target, conversion, options);
    return weights_of(watched() / target);
  }
  static std::string weights_of(const fs::path& target) {
    return read(fs::is_directory(target) ? target / "diffusion_pytorch_model.safetensors" : target);
  }
  static size_t syncs(const std::vector<Operation>& operations) {
    return size_t(
        std::count_if(operations.begin(), operations.end(), [](const auto& o) { return o.kind == "sync"; }));
  }

  static constexpr IoShimSettings kOff = {};
  OfficialWeights source_;
};

const char* const kCrashTargets[] = {"m.safetensors", "m.pth", "folder"};

TEST_F(ConversionCrash, ANewTargetIsLeftToTheSystemAndWholeOrAbsent) {
  for (const std::string target : {"m.safetensors", "m.pth"}) {
    start_record();
    const std::string written = convert(target, "once", {});
    const auto operations = end_record();
    EXPECT_EQ(syncs(operations), 0u) << target;
    int64_t whole = 0;
    for_each_crash_state(operations, {}, watched(), [&](const CrashState& state) {
      if (!fs::exists(watched() / target)) return;
      EXPECT_EQ(weights_of(watched() / target), written) << state.moment;
      ++whole;
    });
    EXPECT_GT(whole, 0);
  }
}

TEST_F(ConversionCrash, OnWishItIsOnTheDiskAtTheEnd) {
  for (const std::string target : kCrashTargets) {
    start_record();
    const std::string written = convert(target, "once", {.durability = Durability::kNow});
    io_shim_mark("done");
    const auto operations = end_record();
    int64_t complete = 0;
    for_each_crash_state(operations, {.weak = true}, watched(), [&](const CrashState& state) {
      if (state.marks.empty() && !fs::exists(watched() / target)) return;
      EXPECT_EQ(weights_of(watched() / target), written)
          << target << ": " << state.moment << ", " << state.what;
      ++complete;
    });
    EXPECT_GT(complete, 0);
  }
}

TEST_F(ConversionCrash, WhatIsReplacedIsNotLost) {
  for (const std::string target : kCrashTargets) {
    start_record();
    const std::string old = convert(target, "once", {.durability = Durability::kNow});
    io_shim_mark("old");
    const std::string young = convert(target, "again", {.overwrite = true});
    io_shim_mark("new");
    const auto operations = end_record();
    ASSERT_NE(old, young);
    int64_t replaced = 0;
    for_each_crash_state(operations, {.weak = true}, watched(), [&](const CrashState& state) {
      if (state.marks.empty()) return;
      const std::string now = weights_of(watched() / target);
      const bool is_new = now == young;
      EXPECT_TRUE(is_new || (state.marks.back() == "old" && now == old))
          << target << ": " << state.moment << ", " << state.what;
      replaced += is_new;
    });
    EXPECT_GT(replaced, 0);
  }
}

}  // namespace
}  // namespace pixart::convert
