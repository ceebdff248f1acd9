#include "pixart/run/run_folder.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/config/config.h"
#include "scratch_folder.h"

namespace pixart::run {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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
    open_run_folder(folder, config, allowed);
    return "";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    return error.what();
  }
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
  open_run_folder({folder_}, config, {});
  for (const auto& name : foreign) EXPECT_EQ(read(folder_ / name), "thesis") << name;
  for (const char* name : {"run.yaml", "events.jsonl", ".owner", "autoencoder"})
    EXPECT_FALSE(std::filesystem::exists(folder_ / fmt::format(".tmp-{}-0123456789abcdef", name))) << name;
}

// Every key, one after the other: fixed, with permission, or free, as its line in the struct says.
TEST_F(RunFolderTest, EveryKeyThatChangesIsTreatedAsItsClassSays) {
  const RunConfig was = read_run_config(write("given.yaml", kRun));
  const std::string yaml = config::to_yaml(was);
  const RunFolder folder{folder_};
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
      case OnResume::kNeedsPermission:
        EXPECT_THAT(plain, AllOf(HasSubstr(path), HasSubstr("--allow-change " + path)));
        EXPECT_EQ(permitted, "");
        break;
      case OnResume::kFixed:
        EXPECT_THAT(plain, AllOf(HasSubstr(path), HasSubstr("cannot change in a run that has begun")));
        EXPECT_THAT(permitted, HasSubstr("cannot change"));
        EXPECT_EQ(read_file(folder.config()), yaml) << "a refused change was written";
        break;
    }
  }
  EXPECT_GT(count[OnResume::kFixed], 40);
  EXPECT_GT(count[OnResume::kNeedsPermission], 15);
  EXPECT_GT(count[OnResume::kFree], 20);
}

TEST_F(RunFolderTest, ElementsOfAnotherNameAreReported) {
  const RunConfig was = read_run_config(write("given.yaml", kRun));
  const RunFolder folder{folder_};
  write_file_atomically(folder.config(), config::to_yaml(was));
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
