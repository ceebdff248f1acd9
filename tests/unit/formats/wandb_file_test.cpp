#include "pixart/formats/wandb_file.h"

#include <zlib.h>

#include "folder.h"
#include "pixart/base/bytes.h"
#include "pixart/base/file.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// A reader that follows the description of LevelDB's log, not the writer: each block by itself, chunk by chunk.
class LogReader {
 public:
  explicit LogReader(const std::string& bytes) : bytes_(bytes) {
    EXPECT_EQ(bytes.substr(0, 7), std::string(":W&B\xE1\xBE\0", 7));
    for (size_t block = 0; block < bytes.size(); block += kBlock) read_block(block);
    EXPECT_TRUE(partial_.empty()) << "the last record has no end";
  }
  std::vector<std::string> records;

 private:
  static constexpr size_t kBlock = 32768, kHead = 7;
  enum { kWhole = 1, kFirst, kMiddle, kLast };

  void read_block(size_t block) {
    const size_t end = std::min(bytes_.size(), block + kBlock);
    size_t at = block == 0 ? kHead : block;
    for (; end - at >= kHead; at = read_chunk(at, end)) {
    }
    EXPECT_EQ(bytes_.substr(at, end - at), std::string(end - at, '\0')) << "the rest of a block is not zeros";
  }

  size_t read_chunk(size_t at, size_t end) {
    const size_t size = from_little_endian(bytes_, at + 4, 2), type = size_t(bytes_[at + 6]);
    EXPECT_LE(at + kHead + size, end) << "a chunk crosses the end of its block";
    const std::string checked = bytes_.substr(at + 6, 1 + size);
    EXPECT_EQ(from_little_endian(bytes_, at, 4),
              ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), uInt(checked.size())));
    EXPECT_EQ(type == kMiddle || type == kLast, is_open_);
    partial_ += checked.substr(1);
    is_open_ = type == kFirst || type == kMiddle;
    if (!is_open_) records.push_back(std::move(partial_)), partial_.clear();
    return at + kHead + size;
  }

  const std::string& bytes_;
  std::string partial_;
  bool is_open_ = false;
};

class Wandb : public Folder {
 protected:
  // The records of a file with one text of each length.
  std::vector<std::string> written(const std::vector<size_t>& lengths) const {
    const std::filesystem::path path = folder_ / "run-a.wandb";
    std::filesystem::remove(path);  // of an earlier call: a WandbFile replaces none
    WandbFile file(path,
                   {.id = "a", .project = "p", .display_name = "n", .begin = 1.5, .config = {{"seed", "7"}}});
    for (size_t i = 0; i < lengths.size(); ++i)
      file.history(int64_t(i), {{"x", std::string(lengths[i], '1')}});
    file.exit(0, 3);
    return LogReader(read_file(path)).records;
  }
};

TEST_F(Wandb, RecordsOfAllLengthsAreFramed) {
  // Around the rests of a block that have room for a head, only for a head, and for less.
  for (size_t length = 32500; length < 32800; ++length) {
    const auto records = written({length, 5});
    ASSERT_THAT(records, SizeIs(5)) << length;  // header, run, two steps, exit
    EXPECT_THAT(records[2], HasSubstr(std::string(length, '1'))) << length;
    EXPECT_THAT(records[3], HasSubstr("11111"));
  }
  const auto large = written({100'000, 1, 3'000'000});
  EXPECT_THAT(large[2], HasSubstr(std::string(100'000, '1')));
  EXPECT_THAT(large[4], HasSubstr(std::string(3'000'000, '1')));
}

TEST_F(Wandb, TheMessagesHaveTheFieldsOfTheProtocol) {
  const auto records = written({2});
  // num 2, run (17): run_id, project, config {update {key, value_json}}, display_name, start_time {1, 5e8}.
  EXPECT_EQ(records[1],
            "\x08\x02\x8a\x01\x22\x0a\x01"
            "a\x1a\x01p\x22\x0c\x0a\x0a\x0a\x04"
            "seed\x82\x01\x01"
            "7\x42\x01n\x8a\x01\x08\x08\x01\x10\x80\xca\xb5\xee\x01");
  // num 3, history (2): item {nested_key, value_json}, item of _step, step {num 0}.
  EXPECT_THAT(records[2], HasSubstr(std::string("\x0a\x08\x12\x01x\x82\x01\x02"
                                                "11")));
  EXPECT_THAT(records[2], HasSubstr(std::string("\x0a\x0b\x12\x05_step\x82\x01\x01"
                                                "0\x12\x02\x08\x00",
                                                17)));
  // num 4, exit (18): code 0, 3 seconds.
  EXPECT_EQ(records[3], std::string("\x08\x04\x92\x01\x04\x08\x00\x10\x03", 9));
}

TEST_F(Wandb, WhatIsNotUtf8IsReplaced) {
  const auto path = folder_ / "run-b.wandb";
  WandbFile file(path, {.id = "b", .project = "\xff"});
  file.exit(1, 0);
  EXPECT_THAT(LogReader(read_file(path)).records[1], HasSubstr("\xef\xbf\xbd"));
}

}  // namespace
}  // namespace pixart::formats
