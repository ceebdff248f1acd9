#include "checkpoint_manifest.h"

#include <nlohmann/json.hpp>

#include "scratch_folder.h"

namespace pixart::train {
namespace {

using ::testing::HasSubstr;
using testing::refusal;

class CheckpointManifest : public testing::ScratchFolder {
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
  EXPECT_EQ(record.parts[1].sha256, formats::sha256("numbers"));
}

TEST_F(CheckpointManifest, FilesAreComparedWithIt) {
  write("model.safetensors", "headnumbers");
  EXPECT_EQ(wrong_size(folder_, example()) + wrong_hash(folder_, example()), "");
  write("model.safetensors", "headnumbert");
  EXPECT_EQ(wrong_size(folder_, example()), "");
  EXPECT_THAT(wrong_hash(folder_, example()), HasSubstr("differs: tensor weight)"));
  write("model.safetensors", "hea");
  EXPECT_THAT(wrong_size(folder_, example()), HasSubstr("3 of 11 bytes, cut off in its header"));
}

// Written before tensors had hashes.
TEST_F(CheckpointManifest, VersionOneIsRead) {
  const nlohmann::json old = {{"format_version", 1},
                              {"step", 7},
                              {"files", {{"state.json", {{"bytes", 2}, {"sha256", formats::sha256("{}")}}}}}};
  write("manifest.json", old.dump(1) + "\n");
  write("state.json", "{}");
  const Manifest read = read_manifest(folder_);
  EXPECT_EQ(wrong_size(folder_, read) + wrong_hash(folder_, read), "");
  write("state.json", "[]");
  EXPECT_THAT(wrong_hash(folder_, read), HasSubstr("state.json was changed since it was saved"));
}

TEST_F(CheckpointManifest, BadOnesAreRefused) {
  EXPECT_THAT(refusal([&] { read_manifest(folder_); }), HasSubstr("manifest.json"));
  EXPECT_THAT(refusal_of("{"), HasSubstr("manifest.json cannot be read"));
  EXPECT_THAT(refusal_of("[]"), HasSubstr("manifest.json cannot be read"));
  EXPECT_THAT(refusal_of(R"({"format_version": 99})"), HasSubstr("newer version"));
  EXPECT_THAT(refusal_of(R"({"format_version": 0})"), HasSubstr("unknown version"));
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
}  // namespace pixart::train
