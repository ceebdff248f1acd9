#include "pixart/formats/manifest.h"

#include <ATen/ATen.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "folder.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointManifest : public Folder {
 protected:
  std::string refusal_of(const std::string& text) const {
    write("manifest.json", text);
    return refusal([&] { read_manifest(folder_); });
  }
};

Manifest example() {
  FileRecorder recorder;
  recorder.add("", "head");
  recorder.add("weight", "numbers");
  return {.step = 7, .files = {{"model.safetensors", recorder.finish()}}};
}

TEST_F(CheckpointManifest, ComesBackAsItWasWritten) {
  write("manifest.json", manifest_text(example()));
  const Manifest read = read_manifest(folder_);
  EXPECT_EQ(read.step, 7);
  const FileRecord& record = read.files.at("model.safetensors");
  EXPECT_EQ(record.bytes, 11u);
  ASSERT_EQ(record.parts.size(), 2u);
  EXPECT_EQ(record.parts[1].tensor, "weight");
  EXPECT_EQ(record.parts[1].begin, 4u);
  EXPECT_EQ(record.parts[1].end, 11u);
  EXPECT_EQ(record.parts[1].sha256, sha256("numbers"));
}

TEST_F(CheckpointManifest, FilesAreComparedWithIt) {
  write("model.safetensors", "headnumbers");
  check_sizes(folder_, example());
  check_hashes(folder_, example());
  write("model.safetensors", "headnumbert");
  check_sizes(folder_, example());
  check_header(folder_ / "model.safetensors", example().files.at("model.safetensors"));
  EXPECT_THAT(refusal([&] { check_hashes(folder_, example()); }), HasSubstr("differs: tensor weight)"));
  check_hashes(folder_, example(), "another file");
  write("model.safetensors", "heaDnumbers");
  EXPECT_THAT(
      refusal([&] { check_header(folder_ / "model.safetensors", example().files.at("model.safetensors")); }),
      HasSubstr("differs: its header)"));
  write("model.safetensors", "hea");
  EXPECT_THAT(refusal([&] { check_sizes(folder_, example()); }),
              HasSubstr("3 of 11 bytes, cut off in its header"));
  EXPECT_THAT(refusal([&] { check_sizes(folder_, example(), "other.safetensors"); }),
              HasSubstr("does not name"));
}

ExitCode code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const UserError& error) {
    return error.code();
  }
  return ExitCode::kDone;
}

// A file of the system whose reading fails with EIO, whoever reads.
constexpr const char* kFailing = "/proc/self/mem";

TEST_F(CheckpointManifest, WhatCannotBeReadIsNotDamaged) {
  const auto read = [&] { read_manifest(folder_); };
  EXPECT_EQ(code_of(read), ExitCode::kBadInput) << "it is missing";
  fs::create_symlink(kFailing, folder_ / "manifest.json");
  EXPECT_EQ(code_of(read), ExitCode::kStorage);
  EXPECT_THAT(refusal(read), AllOf(HasSubstr("manifest.json"), HasSubstr("Input/output error")));
  Manifest manifest = example();
  manifest.files.at("model.safetensors").bytes = 0;  // what the system says of such files
  fs::create_symlink(kFailing, folder_ / "model.safetensors");
  EXPECT_EQ(code_of([&] { check_hashes(folder_, manifest); }), ExitCode::kStorage);
  EXPECT_THAT(refusal([&] { check_hashes(folder_, manifest); }),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("Input/output error")));
  for (const char* nothing : {"no/such/file", "model.safetensors"}) {
    fs::remove(folder_ / "model.safetensors");
    fs::create_symlink(nothing, folder_ / "model.safetensors");
    EXPECT_EQ(code_of([&] { check_sizes(folder_, manifest); }), ExitCode::kBadInput) << nothing;
  }
}

TEST_F(CheckpointManifest, EntriesThatItDoesNotNameAreListed) {
  write("manifest.json", manifest_text(example()));
  write("model.safetensors", "headnumbers");
  EXPECT_THAT(unnamed_entries(folder_, example()), ElementsAre());
  write("optimizer.safetensors.old", "");
  fs::create_directories(folder_ / ".nfs");
  EXPECT_THAT(unnamed_entries(folder_, example()), ElementsAre(".nfs", "optimizer.safetensors.old"));
}

// What is read of a checkpoint by whatever way is compared with its manifest.
class SavedWeights : public Folder {
 protected:
  SavedWeights() {
    Manifest manifest{.step = 3};
    for (const char* name : {"ema.safetensors", "model.safetensors"}) {
      write_safetensors(folder_ / name, weights());
      const std::string bytes = read(folder_ / name);
      FileRecorder recorder;
      recorder.add("", bytes.substr(0, bytes.size() - 32));
      recorder.add("a", bytes.substr(bytes.size() - 32, 16));
      recorder.add("b", bytes.substr(bytes.size() - 16));
      manifest.files[name] = recorder.finish();
    }
    write("manifest.json", manifest_text(manifest));
    write("state.json", "{}");
  }
  static Weights weights() {
    Weights weights;
    for (const char* name : {"a", "b"}) weights.tensors.emplace(name, WeightInfo{at::kFloat, {4}});
    weights.read = [](const std::string&) { return at::arange(4, at::kFloat); };
    return weights;
  }
  void flip(const std::string& name, size_t from_end) const {
    std::string bytes = read(folder_ / name);
    bytes.at(bytes.size() - from_end) ^= 4;
    write(name, bytes);
  }
};

TEST_F(SavedWeights, EachTensorIsComparedWhenItIsRead) {
  EXPECT_EQ(read_all(open_weights(folder_)).size(), 2u);
  EXPECT_EQ(read_all(open_weights(folder_, "ema")).size(), 2u);
  flip("ema.safetensors", 1);
  fs::create_directories(folder_ / "elsewhere");
  fs::create_symlink(folder_ / "ema.safetensors", folder_ / "elsewhere" / "link.safetensors");
  EXPECT_EQ(read_all(open_weights(folder_)).size(), 2u) << "that of the model is whole";
  for (const auto& weights : {open_weights(folder_, "ema"), open_weights(folder_ / "ema.safetensors"),
                              open_weights(folder_ / "elsewhere" / "link.safetensors")}) {
    EXPECT_EQ(weights.read("a").numel(), 4);
    EXPECT_THAT(refusal([&] { weights.read("b"); }), AllOf(HasSubstr("checkpoint"), HasSubstr("tensor b")));
  }
}

TEST_F(SavedWeights, ASetOfAFileIsComparedLikeTheWholeFile) {
  Weights named;
  for (const char* name : {"ema.a", "ema.b"}) named.tensors.emplace(name, WeightInfo{at::kFloat, {4}});
  named.read = weights().read;
  write_safetensors(folder_ / "model.safetensors", named);
  const std::string bytes = read(folder_ / "model.safetensors");
  FileRecorder recorder;
  recorder.add("", bytes.substr(0, bytes.size() - 32));
  recorder.add("ema.a", bytes.substr(bytes.size() - 32, 16));
  recorder.add("ema.b", bytes.substr(bytes.size() - 16));
  write("manifest.json", manifest_text({.step = 3, .files = {{"model.safetensors", recorder.finish()}}}));
  EXPECT_EQ(read_all(open_weights(folder_ / "model.safetensors", "ema")).size(), 2u);
  flip("model.safetensors", 1);
  EXPECT_THAT(refusal([&] { read_all(open_weights(folder_ / "model.safetensors", "ema")); }),
              HasSubstr("tensor ema.b"));
}

TEST_F(SavedWeights, HeaderAndSizeAreComparedBeforeAnythingIsUsed) {
  flip("model.safetensors", 33);
  EXPECT_THAT(refusal([&] { open_weights(folder_); }), HasSubstr("differs: its header"));
  EXPECT_THAT(refusal([&] { open_weights(folder_ / "model.safetensors"); }), HasSubstr("its header"));
  fs::resize_file(folder_ / "ema.safetensors", fs::file_size(folder_ / "ema.safetensors") - 1);
  EXPECT_THAT(refusal([&] { open_weights(folder_, "ema"); }), HasSubstr("not have its saved size"));
  fs::remove(folder_ / "ema.safetensors");
  EXPECT_THAT(refusal([&] { open_weights(folder_, "ema"); }), HasSubstr("ema.safetensors is missing"));
  write("manifest.json", "{}");
  EXPECT_THAT(refusal([&] { open_weights(folder_); }), HasSubstr("manifest.json"));
  EXPECT_THAT(refusal([&] { open_weights(folder_, "best"); }), HasSubstr("model, ema"));
}

TEST_F(SavedWeights, AFileOfOnesOwnInACheckpointIsReadAsAnyOther) {
  write_safetensors(folder_ / "mine.safetensors", weights());
  EXPECT_EQ(read_all(open_weights(folder_ / "mine.safetensors")).size(), 2u);
}

// Written before tensors had hashes.
TEST_F(CheckpointManifest, VersionOneIsRead) {
  const nlohmann::json old = {{"format_version", 1},
                              {"step", 7},
                              {"files", {{"state.json", {{"bytes", 2}, {"sha256", sha256("{}")}}}}}};
  write("manifest.json", old.dump(1) + "\n");
  write("state.json", "{}");
  const Manifest read = read_manifest(folder_);
  check_sizes(folder_, read);
  check_hashes(folder_, read);
  write("state.json", "[]");
  EXPECT_THAT(refusal([&] { check_hashes(folder_, read); }),
              HasSubstr("state.json was changed since it was saved"));
}

TEST_F(CheckpointManifest, BadOnesAreRefused) {
  EXPECT_THAT(refusal([&] { read_manifest(folder_); }), HasSubstr("manifest.json"));
  EXPECT_THAT(refusal_of("{"), HasSubstr("manifest.json cannot be read"));
  EXPECT_THAT(refusal_of("[]"), HasSubstr("manifest.json cannot be read"));
  EXPECT_THAT(refusal_of(R"({"format_version": 99})"), HasSubstr("newer version"));
  EXPECT_THAT(refusal_of(R"({"format_version": 0})"), HasSubstr("unknown format_version"));
  std::string changed = manifest_text(example());
  changed.replace(changed.find("11"), 2, "12");
  EXPECT_THAT(refusal_of(changed), HasSubstr("was changed since it was saved"));
  EXPECT_THAT(refusal_of(manifest_text(example()) + " "), HasSubstr("was changed since it was saved"));
  Manifest short_of = example();
  short_of.files.at("model.safetensors").bytes = 12;
  EXPECT_THAT(refusal_of(manifest_text(short_of)),
              HasSubstr("does not cover the whole of model.safetensors"));
  EXPECT_THAT(refusal_of(manifest_text({.step = 1, .files = {{"../state.json", {}}}})),
              HasSubstr("names the file '../state.json'"));
}

}  // namespace
}  // namespace pixart::formats
