#include "pixart/run/run_folder.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/config/config.h"
#include "pixart/run/checkpoint_folder.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RunFolderTest : public testing::ScratchFolder {};

const char* const kRun = R"(
run: run
transformer: {patch_size: 2, hidden_size: 32, depth: 2, num_heads: 2}
sources:
  - {name: scenes, type: scenes, count: 48}
  - {name: more, type: scenes, count: 8}
stages:
  - name: text
    objective: text_conditional
    mix: [{source: scenes}, {source: more}]
    steps: 30
    batch_size: 8
    optimizer: {name: came}
evaluation: {bars: [{metric: a, at_least: 1}]}
)";

// Changes one value after the other of a config struct, whatever its type: the `target`-th in all.
class ChangeOne {
 public:
  explicit ChangeOne(int target) : target_(target) {}

  template <class T>
  void operator()(const char* key, T& value, const char*, const Rule& rule = {}) {
    path_.push_back(key);
    visit(value, rule);
    path_.pop_back();
  }
  bool done() const { return !changed.empty(); }

  std::string changed;  // path of the key
  OnResume on_resume = OnResume::kFixed;

 private:
  template <class T>
  void visit(T& value, const Rule& rule) {
    if constexpr (requires { T::fields(value, *this); }) {
      T::fields(value, *this);
    } else if (next_++ == target_) {
      change(value, rule);
      on_resume = rule.on_resume;
      for (const auto& part : path_) changed += (changed.empty() ? "" : ".") + part;
    }
  }
  template <class T>
  void visit(std::vector<T>& value, const Rule& rule) {
    if constexpr (requires(T & one) { T::fields(one, *this); }) {
      for (auto& one : value) T::fields(one, *this);
    } else if (next_++ == target_) {
      value.emplace_back();
      change(value.back(), rule);
      on_resume = rule.on_resume;
      for (const auto& part : path_) changed += (changed.empty() ? "" : ".") + part;
    }
  }
  template <class T>
  void visit(std::optional<T>& value, const Rule& rule) {
    const bool was_set = value.has_value(), was_done = done();
    if (!was_set) value.emplace();
    visit(*value, rule);
    if (!was_set && (was_done || !done())) value.reset();
  }
  static void change(bool& value, const Rule&) { value = !value; }
  static void change(int64_t& value, const Rule&) { ++value; }
  static void change(double& value, const Rule&) { value = value * 0.75 + 0.0625; }
  static void change(std::filesystem::path& value, const Rule&) { value /= "other"; }
  template <HasWords Enum>
  static void change(Enum& value, const Rule&) {
    for (const auto& [word, other] : enum_words(value))
      if (other != value) return void(value = other);
  }
  static void change(std::string& value, const Rule& rule) {
    for (const auto& word : rule.words)
      if (word != value) return void(value = word);
    value += "x";
  }

  int target_, next_ = 0;
  std::vector<std::string> path_;
};

std::string refusal_of(const RunFolder& folder, const RunConfig& config,
                       const std::vector<std::string>& allowed) {
  try {
    Problems problems;
    check_run_folder(folder, config, allowed, problems);
    problems.throw_if_any(folder.root.string());
    open_run_folder(folder, config);
    return "";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    return error.what();
  }
}

void begin(const RunFolder& folder, const std::string& stage) {
  std::filesystem::create_directories(folder.checkpoints(stage) / "step-00000001");
}

void begin_all(const RunFolder& folder, const RunConfig& config) {
  for (const auto& stage : config.stages) begin(folder, stage.name);
}

TEST_F(RunFolderTest, OnlyItsOwnLeftoversAreDeleted) {
  const RunConfig config = read_run_config(write("given.yaml", kRun));
  const std::vector<std::string> foreign = {".tmp-work/thesis.tex", ".del-old/f", ".tmp-run.yaml",
                                            ".tmp-thesis-0123456789abcdef/f",
                                            ".tmp-text_encoder-0123456789abcdef/of-another-process"};
  for (const auto& name : foreign) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write(name, "thesis");
  }
  for (const char* name : {".tmp-run.yaml-0123456789abcdef", ".tmp-events.jsonl-0123456789abcdef",
                           ".tmp-.owner-0123456789abcdef"})
    write(name, "half");
  std::filesystem::create_directories(folder_ / ".tmp-autoencoder-0123456789abcdef" / "inner");
  open_run_folder({folder_}, config);
  for (const auto& name : foreign) EXPECT_EQ(read(folder_ / name), "thesis") << name;
  for (const char* name : {"run.yaml", "events.jsonl", ".owner", "autoencoder"})
    EXPECT_FALSE(std::filesystem::exists(folder_ / fmt::format(".tmp-{}-0123456789abcdef", name))) << name;
}

// With run: . the run file itself may have the name.
TEST_F(RunFolderTest, AFileThatTheUserWroteIsNotReplaced) {
  const RunConfig config = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  write("run.yaml", std::string("# notes\n") + kRun);
  EXPECT_THAT(refusal_of(folder, config, {}),
              AllOf(HasSubstr(folder.config().string()), HasSubstr("not written by pixart"),
                    HasSubstr("--set run=FOLDER")));
  EXPECT_THAT(read(folder.config()), HasSubstr("# notes"));
  write("run.yaml", config::to_yaml(config));
  EXPECT_EQ(refusal_of(folder, config, {}), "");
  write("run.yaml", std::string("# by an older version\n") + kRun);
  write("events.jsonl", "");
  EXPECT_EQ(refusal_of(folder, config, {}), "");
  RunConfig resolved = config;
  resolved.sample_order = 1;
  EXPECT_EQ(read(folder.config()), config::to_yaml(resolved));
}

TEST_F(RunFolderTest, ResultsThatNoRunWroteAreNotReplaced) {
  std::string text = kRun;
  text.insert(text.find("  - name: text"),
              "  - {name: vae, objective: autoencoder, source: scenes, resolution: 32, steps: 3}\n");
  const RunConfig config = read_run_config(write("given.yaml", text));
  const RunFolder folder{folder_ / "run"};
  const auto refusal = [&](const std::vector<StageConfig>& stages) -> std::string {
    try {
      require_no_foreign_results(folder, stages);
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(refusal(config.stages), "") << "the folder does not exist";
  for (const char* name : {"autoencoder/config.json", "samples/text/notes.txt", "text_encoder/config.json",
                           "features/a", "logs/rank-0.log"}) {
    std::filesystem::create_directories((folder.root / name).parent_path());
    write(std::string("run/") + name, "mine");
  }
  EXPECT_EQ(refusal({config.stages.back()}), "") << "an autoencoder that is only read";
  EXPECT_THAT(refusal(config.stages),
              AllOf(HasSubstr("autoencoder is there already"), HasSubstr("autoencoder.path")));
  std::filesystem::remove_all(folder.autoencoder());
  for (const char* name : {"events.jsonl", "telemetry.jsonl", "samples/text/step-00000003.png",
                           "metrics/text/step-00000003.json", "power_ema/text/step-00000003.safetensors",
                           "lora/text/adapter_model.safetensors"}) {
    std::filesystem::create_directories((folder.root / name).parent_path());
    write(std::string("run/") + name, "mine");
  }
  EXPECT_THAT(refusal(config.stages),
              AllOf(HasSubstr("events.jsonl"), HasSubstr("telemetry.jsonl"), HasSubstr("samples/text is"),
                    HasSubstr("metrics/text"), HasSubstr("power_ema/text"), HasSubstr("lora/text")));
  write("run/events.jsonl", "{\"stage\":\"text\",\"step\":1}\n");
  write("run/telemetry.jsonl", "");
  EXPECT_THAT(refusal(config.stages), Not(HasSubstr(".jsonl"))) << "of a start that was refused";
  write("run/run.yaml", config::to_yaml(config));
  EXPECT_EQ(refusal(config.stages), "") << "they are of the run";
}

// Programs before the key existed had only the first order.
TEST_F(RunFolderTest, ARunKeepsItsOrderOfSamples) {
  const RunConfig config = read_run_config(write("given.yaml", kRun));
  const auto with = [&](int64_t version) {
    return read_run_config(folder_ / "given.yaml", {fmt::format("sample_order={}", version)});
  };
  const RunFolder fresh{folder_ / "fresh"}, old{folder_ / "old"};
  for (const RunFolder* folder : {&fresh, &old}) std::filesystem::create_directories(folder->root);
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(sample_order_of(fresh, config), 2);
    EXPECT_EQ(refusal_of(fresh, config, {}), "");
    EXPECT_EQ(read_run_config(fresh.config()).sample_order, 2);
  }
  EXPECT_EQ(refusal_of(fresh, with(1), {}), "") << "nothing has begun";
  EXPECT_EQ(sample_order_of(fresh, config), 1);
  write("old/run.yaml", kRun);
  write("old/events.jsonl", "");
  begin(old, "text");
  EXPECT_THAT(refusal_of(old, with(2), {"sample_order"}),
              HasSubstr("sample_order was 1, is 2 (cannot change: a stage that uses it has begun)"));
  EXPECT_EQ(read(old.config()), kRun);
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(sample_order_of(old, config), 1);
    EXPECT_EQ(refusal_of(old, config, {}), "");
    EXPECT_EQ(read_run_config(old.config()).sample_order, 1);
    EXPECT_EQ(refusal_of(old, with(1), {}), "");
  }
  EXPECT_THAT(refusal_of(old, with(2), {}), HasSubstr("cannot change"));
}

TEST_F(RunFolderTest, LeftoversInItsFoldersAreDeletedToo) {
  const RunConfig config = read_run_config(write("given.yaml", kRun));
  const auto nonce = [](const std::string& own) { return ".tmp-" + own + "-0123456789abcdef"; };
  const std::vector<std::string> own = {
      "quarantine/" + nonce("scenes.jsonl"),
      "quarantine/" + nonce("more.jsonl"),
      "prompts/" + nonce(std::string(64, 'a') + ".safetensors"),
      "samples/text/" + nonce("step-00000030.png"),
      "metrics/text/" + nonce("step-00000030.json"),
      "metric_features/prompts/" + nonce(std::string(64, 'a') + ".safetensors"),
      "metric_features/references/" + nonce(std::string(64, 'b') + ".safetensors"),
      "lora/" + nonce("text") + "/adapter_config.json",
      "excluded/" + nonce("text.jsonl")};
  const std::vector<std::string> foreign = {
      "quarantine/" + nonce("thesis.jsonl"),
      "quarantine/.tmp-scenes.jsonl",
      "prompts/" + nonce("thesis"),
      "samples/text/" + nonce("thesis.png"),
      "metrics/text/" + nonce("thesis.json"),
      "samples/other/" + nonce("step-00000030.png"),
      "lora/" + nonce("thesis") + "/half",
      "excluded/" + nonce("thesis.jsonl"),
      "features/scenes-latents-256/" + nonce("shard-00000.safetensors")};
  for (const auto* names : {&own, &foreign})
    for (const auto& name : *names) {
      std::filesystem::create_directories((folder_ / name).parent_path());
      write(name, "half");
    }
  open_run_folder({folder_}, config);
  for (const auto& name : own) EXPECT_FALSE(std::filesystem::exists(folder_ / name)) << name;
  for (const auto& name : foreign) EXPECT_EQ(read(folder_ / name), "half") << name;
}

TEST_F(RunFolderTest, FewerStepsThanAStageHasMadeAreToldWithTheOtherKeys) {
  const RunConfig was = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  write_file_atomically(folder.config(), config::to_yaml(was));
  std::filesystem::create_directories(folder.checkpoints("text") / "step-00000020");
  const RunConfig is = read_run_config(folder_ / "given.yaml", {"stages.text.steps=10", "seed=4"});
  EXPECT_THAT(refusal_of(folder, is, {"stages.text.steps"}),
              AllOf(HasSubstr("2 problems"), HasSubstr("seed was 0, is 4"),
                    HasSubstr("stages.text.steps is 10, but stage text is already at step 20")));
  EXPECT_EQ(refusal_of(folder, read_run_config(folder_ / "given.yaml", {"stages.text.steps=20"}),
                       {"stages.text.steps"}),
            "");
}

TEST_F(RunFolderTest, ACopiedCheckpointIsNotOfTheStepInItsName) {
  const RunConfig config = read_run_config(write("given.yaml", kRun), {"stages.text.steps=10"});
  const RunFolder folder{folder_};
  write_file_atomically(folder.config(), config::to_yaml(config));
  write_checkpoint(folder.checkpoints("text"), {.step = 10});
  std::filesystem::copy(folder.checkpoints("text") / "step-00000010",
                        folder.checkpoints("text") / "step-00000020");
  EXPECT_EQ(refusal_of(folder, config, {}), "");
}

// Every key, one after the other: fixed, with permission, or free, as its line in the struct says.
TEST_F(RunFolderTest, EveryKeyThatChangesIsTreatedAsItsClassSays) {
  const RunConfig was = read_run_config(write("given.yaml", kRun), {"sample_order=1"});
  const std::string yaml = config::to_yaml(was);
  const RunFolder folder{folder_};
  begin_all(folder, was);
  std::map<OnResume, int> count;
  for (int i = 0;; ++i) {
    RunConfig is = was;
    ChangeOne change(i);
    RunConfig::fields(is, change);
    if (!change.done()) break;
    SCOPED_TRACE(change.changed);
    ++count[change.on_resume];
    const auto changes = config::compare(was, is);
    const bool is_name =
        change.changed.ends_with(".name") && change.changed.find("optimizer") == std::string::npos;
    if (is_name) continue;  // an element of another name is another element: see below
    ASSERT_EQ(changes.size(), 1);
    const auto& path = changes[0].path;

    write_file_atomically(folder.config(), yaml);
    const std::string plain = refusal_of(folder, is, {}), permitted = refusal_of(folder, is, {path});
    switch (change.on_resume) {
      case OnResume::kFree:
        EXPECT_EQ(plain, "");
        break;
      case OnResume::kByContent: {
        EXPECT_EQ(plain, "");
        write_file_atomically(folder.config(), yaml);
        Problems problems;
        EXPECT_EQ(check_run_folder(folder, is, {}, problems).moved.at(0).path, path);
        EXPECT_TRUE(problems.empty());
        break;
      }
      case OnResume::kNeedsPermission:
        EXPECT_THAT(plain, AllOf(HasSubstr(path), HasSubstr("--allow-change " + path)));
        EXPECT_EQ(permitted, "");
        break;
      case OnResume::kFixed:
        EXPECT_THAT(plain,
                    AllOf(HasSubstr(path), HasSubstr("cannot change: a stage that uses it has begun")));
        EXPECT_THAT(permitted, HasSubstr("cannot change"));
        EXPECT_EQ(read_file(folder.config()), yaml) << "a refused change was written";
        break;
    }
  }
  EXPECT_GT(count[OnResume::kFixed], 40);
  EXPECT_GT(count[OnResume::kNeedsPermission], 15);
  EXPECT_GT(count[OnResume::kFree], 20);
  EXPECT_GE(count[OnResume::kByContent], 4);
}

// The changes from `was` that are refused while only `begun` have checkpoints.
TEST_F(RunFolderTest, WhatNoStageHasUsedMayChange) {
  const char* const kTwo = R"(
run: run
transformer: {patch_size: 2, hidden_size: 32, depth: 2, num_heads: 2}
sources: [{name: a, type: scenes, count: 48}, {name: b, type: scenes, count: 8}, {name: c, type: scenes, count: 8}]
stages:
  - {name: vae, objective: autoencoder, source: a, steps: 3, batch_size: 2}
  - {name: class, objective: class_conditional, source: b, steps: 3, batch_size: 2}
  - {name: text, objective: text_conditional, source: c, steps: 3, batch_size: 2}
)";
  const RunConfig was = read_run_config(write("given.yaml", kTwo));
  const RunFolder folder{folder_};
  const auto refused = [&](const std::vector<std::string>& overrides) {
    write_file_atomically(folder.config(), config::to_yaml(was));
    return refusal_of(folder, read_run_config(folder_ / "given.yaml", overrides), {});
  };
  EXPECT_EQ(refused({"seed=2", "stages.vae.batch_size=4", "sources.a.count=7"}), "") << "nothing has begun";
  begin(folder, "vae");
  EXPECT_THAT(refused({"seed=2"}), HasSubstr("seed was 0, is 2"));
  EXPECT_THAT(refused({"sources.a.count=7"}), HasSubstr("sources.a.count"));
  EXPECT_THAT(refused({"autoencoder.latent_channels=8"}), HasSubstr("autoencoder.latent_channels"));
  EXPECT_EQ(refused({"sources.b.count=7", "stages.class.steps=9", "transformer.depth=3",
                     "text_encoder.max_tokens=9", "stages.text.objective=class_conditional"}),
            "");
  begin(folder, "class");
  EXPECT_THAT(
      refused({"transformer.depth=3", "sources.b.count=7", "sources.c.count=7"}),
      AllOf(HasSubstr("transformer.depth"), HasSubstr("sources.b.count"), Not(HasSubstr("sources.c"))));
  EXPECT_EQ(refused({"text_encoder.max_tokens=9", "sources.c.count=7"}), "");
  std::filesystem::create_directories(folder.text_encoder());
  write("text_encoder/config.json", "{}");
  EXPECT_THAT(refused({"text_encoder.max_tokens=9"}), HasSubstr("text_encoder.max_tokens"));
}

TEST_F(RunFolderTest, StagesAndSourcesAreAddedAndUnusedOnesRemoved) {
  const RunConfig was = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  RunConfig more = was;
  more.sources.push_back(was.sources[0]), more.sources.back().name = "third";
  more.stages.push_back(was.stages[0]), more.stages.back().name = "last";
  write_file_atomically(folder.config(), config::to_yaml(was));
  begin(folder, "text");
  EXPECT_EQ(refusal_of(folder, more, {}), "");
  EXPECT_EQ(refusal_of(folder, was, {}), "") << "the added stage has not begun";
  EXPECT_EQ(refusal_of(folder, more, {}), "");
  begin(folder, "last");
  EXPECT_THAT(refusal_of(folder, was, {}), HasSubstr("stages.last was"));
  std::swap(more.stages[0], more.stages[1]);
  EXPECT_THAT(refusal_of(folder, more, {}), HasSubstr("stages was order text, last"));
}

TEST_F(RunFolderTest, ElementsOfAnotherNameAreReported) {
  const RunConfig was = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  write_file_atomically(folder.config(), config::to_yaml(was));
  begin_all(folder, was);
  RunConfig is = was;
  is.stages[0].name = "other";
  is.seed = 4;
  EXPECT_THAT(refusal_of(folder, is, {}), AllOf(HasSubstr("stages.text"), HasSubstr("seed was 0, is 4")));
}

TEST_F(RunFolderTest, AKeyThatIsNotOneCannotBeAllowed) {
  const RunConfig config = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  for (int start = 0; start < 2; ++start) {
    EXPECT_THAT(refusal_of(folder, config, {"stages.nope.steps", "stages.text.step"}),
                AllOf(HasSubstr("unknown key stages.nope.steps"),
                      HasSubstr("stages.text.step. Did you mean 'stages.text.steps'?")));
    EXPECT_EQ(refusal_of(folder, config, {"stages.text.steps", "stages.text.optimizer", "evaluation"}), "");
  }
}

}  // namespace
}  // namespace pixart::run
