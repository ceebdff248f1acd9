#include "zip_archive.h"

#include "pth_writer.h"
#include "zip_record.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;

class ZipArchiveTest : public Folder {
 protected:
  ZipRecords directory(const std::string& bytes) const {
    return read_zip_directory(InputFile(write("a.pth", bytes)), kTorchZip);
  }
  std::string directory_refusal(const std::string& bytes) const {
    return refusal([&] { directory(bytes); });
  }
  std::string content(const std::string& bytes, const std::string& name) const {
    const InputFile file(write("a.pth", bytes));
    const ZipRecord record = read_zip_directory(file, kTorchZip).at(name);
    std::string out(size_t(record.bytes), '\0');
    read_record(file, record, out.data());
    return out;
  }
};

TEST_F(ZipArchiveTest, FindsRecordsBelowTheTopFolder) {
  const std::string bytes = zip_of({{"top/a", "abc"}, {"top/data/0", ""}, {"top/data/1", "xy"}});
  EXPECT_EQ(directory(bytes).size(), 3u);
  EXPECT_EQ(content(bytes, "a"), "abc");
  EXPECT_EQ(content(bytes, "data/0"), "");
  EXPECT_EQ(content(bytes, "data/1"), "xy");
}

TEST_F(ZipArchiveTest, ChecksContentsByCrc) {
  EXPECT_THAT(refusal([&] { content(zip_of({{.name = "top/a", .data = "abc", .crc_error = 1}}), "a"); }),
              HasSubstr("CRC-32"));
}

TEST_F(ZipArchiveTest, RefusesWhatTorchDoesNotWrite) {
  EXPECT_THAT(directory_refusal(zip_of({{.name = "top/a", .data = "abc", .method = 8}})),
              HasSubstr("compressed; torch.save only stores"));
  EXPECT_THAT(directory_refusal(zip_of({{"top/a", "1"}, {"other/a", "2"}})), HasSubstr("two top folders"));
  EXPECT_THAT(directory_refusal(zip_of({{"top/a", "1"}, {"top/a", "2"}})), HasSubstr("two records called"));
  EXPECT_THAT(directory_refusal(zip_of({{.name = "top/a", .data = "1", .local_name = "top/b"}})),
              HasSubstr("another name"));
  for (const char* name :
       {"a", "/a", "top/", "top/../a", "../a", "top/..", "top\\a", "top/a\n", "top/\xff"}) {
    EXPECT_THAT(directory_refusal(zip_of({{name, "1"}})), HasSubstr("top folder")) << name;
  }
  EXPECT_NO_THROW(directory(zip_of({{"top/a..b", "1"}})));
}

TEST_F(ZipArchiveTest, RefusesEveryCutAndEveryAddition) {
  const std::string bytes = zip_of({{"top/a", "abc"}, {"top/b", "xy"}});
  for (size_t count = 0; count < bytes.size(); ++count) {
    EXPECT_THROW(directory(bytes.substr(0, count)), UserError) << count;
  }
  EXPECT_THROW(directory(bytes + "x"), UserError);
  EXPECT_THROW(directory("x" + bytes), UserError);
}

// No changed byte may crash the reader or make it read beyond the file.
TEST_F(ZipArchiveTest, SurvivesEveryChangedByte) {
  const std::string bytes = zip_of({{"top/a", "abc"}, {"top/b", "xy"}});
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int change : {1, 0x80, 0xFF}) {
      std::string changed = bytes;
      changed[i] = char(changed[i] ^ change);
      try {
        for (const auto& [name, record] : directory(changed))
          EXPECT_LE(record.offset + record.bytes, bytes.size());
      } catch (const UserError&) {
      }
    }
  }
}

TEST_F(ZipArchiveTest, Reads64BitSizes) {
  const std::string field =
      little_endian(1, 2) + little_endian(16, 2) + little_endian(3, 8) + little_endian(3, 8);
  EXPECT_EQ(content(zip_of({{.name = "top/a", .data = "abc", .extra = field, .is_huge = true}}), "a"), "abc");
  const std::string lie = little_endian(1, 2) + little_endian(16, 2) + little_endian(uint64_t{1} << 62, 8) +
                          little_endian(uint64_t{1} << 62, 8);
  EXPECT_THAT(directory_refusal(zip_of({{.name = "top/a", .data = "abc", .extra = lie, .is_huge = true}})),
              HasSubstr("beyond the data"));
  EXPECT_THAT(directory_refusal(zip_of({{.name = "top/a", .data = "abc", .is_huge = true}})),
              HasSubstr("64-bit size"));
}

}  // namespace
}  // namespace pixart::formats
