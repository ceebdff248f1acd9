#include "store.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "pixart/study/serve.h"
#include "scratch_folder.h"

namespace pixart::study {
namespace {

using pixart::testing::refusal;
using ::testing::HasSubstr;

class StoreTest : public pixart::testing::ScratchFolder {
 protected:
  const Shape shape_{.id = "abc", .people = {{"p01", {2, 2}}, {"p02", {2, 3}}}};
  std::filesystem::path file() const { return folder_ / "answers.sqlite"; }
  static Answer answer(const std::string& person, int64_t trial, int64_t seq) {
    return {.person = person, .trial = trial, .order = {{1}, {0}}, .milliseconds = 10, .seq = seq};
  }
  static int64_t count(Store& store) {
    int64_t lines = 0;
    store.each("", [&](const auto&, int64_t, const auto&) { ++lines; });
    return lines;
  }
};

TEST_F(StoreTest, LinksAreSecretAndStay) {
  std::map<std::string, std::string> first;
  {
    Store store(file(), shape_);
    first = store.people();
  }
  ASSERT_EQ(first.size(), 2u);
  for (const auto& [word, person] : first) EXPECT_EQ(word.size(), 22u);
  EXPECT_EQ(Store(file(), shape_).people(), first);
}

TEST_F(StoreTest, AnotherStudyIsRefused) {
  { Store store(file(), shape_); }
  EXPECT_THAT(refusal([&] { Store(file(), Shape{.id = "xyz"}); }), HasSubstr("another study (abc)"));
  write("text",
        "hello, this is no database, and long enough to be one of them; and so on, and so on, and so on.");
  EXPECT_THAT(refusal([&] { Store(folder_ / "text", shape_); }), HasSubstr("not a file of answers"));
}

TEST_F(StoreTest, ABatchIsStoredOnceAndWhole) {
  Store store(file(), shape_);
  const std::vector<Answer> batch = {answer("p01", 0, 1), answer("p02", 1, 1)};
  EXPECT_TRUE(store.put(batch, shape_));
  EXPECT_TRUE(store.put(batch, shape_));
  EXPECT_EQ(count(store), 2);
  int64_t own = 0;
  store.each("p02",
             [&](const auto& person, int64_t trial, const auto&) { own += person == "p02" && trial == 1; });
  EXPECT_EQ(own, 1);
}

TEST_F(StoreTest, APersonCannotFillTheDisk) {
  Store store(file(), shape_);
  bool is_taken = true;
  int64_t seq = 0;
  for (; is_taken && seq < 10'000; ++seq) is_taken = store.put({answer("p01", 0, seq)}, shape_);
  EXPECT_FALSE(is_taken);
  EXPECT_EQ(count(store), 100);
  EXPECT_FALSE(store.put({answer("p02", 0, 1), answer("p01", 0, -1)}, shape_));
  EXPECT_EQ(count(store), 100) << "a part of a batch was stored";
}

TEST_F(StoreTest, ThreadsMayStoreAtOnce) {
  Store store(file(), shape_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) store.put({answer("p02", t % 2, t * 100 + i)}, shape_);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count(store), 40);
}

TEST_F(StoreTest, IsExportedWhileItIsOpen) {
  Store store(file(), shape_);
  store.put({answer("p01", 1, 4)}, shape_);
  EXPECT_EQ(export_answers(file(), folder_ / "out.jsonl"), 1);
  EXPECT_EQ(read(folder_ / "out.jsonl"),
            "{\"study\":\"abc\",\"person\":\"p01\",\"trial\":1,\"order\":[[1],[0]],\"ms\":10,\"seq\":4}\n");
  EXPECT_EQ(export_answers(file(), folder_ / "out.jsonl"), 1) << "its own file is replaced";
  EXPECT_THAT(refusal([&] { export_answers(folder_ / "none", folder_ / "x"); }), HasSubstr("does not exist"));
  write("thesis.tex", "mine");
  EXPECT_THAT(refusal([&] { export_answers(file(), folder_ / "thesis.tex"); }), HasSubstr("is not replaced"));
  EXPECT_EQ(read(folder_ / "thesis.tex"), "mine");
}

}  // namespace
}  // namespace pixart::study
