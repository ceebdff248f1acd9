#include "pixart/formats/hash.h"

#include <stdexcept>

#include "folder.h"

namespace pixart::formats {
namespace {

// FIPS 180-4, examples of NIST.
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

using Hash = Folder;

TEST_F(Hash, AgreesWithTheStandard) {
  EXPECT_EQ(sha256(""), kEmpty);
  EXPECT_EQ(sha256("abc"), kAbc);
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')), kMillionA);
}

TEST_F(Hash, OfFiles) {
  EXPECT_EQ(sha256_of_file(write("empty", "")), kEmpty);
  EXPECT_EQ(sha256_of_file(write("long", std::string(1'000'000, 'a'))), kMillionA);
  const std::string larger_than_a_piece(5'000'000, 'b');
  EXPECT_EQ(sha256_of_file(write("larger", larger_than_a_piece)), sha256(larger_than_a_piece));
}

TEST_F(Hash, ReadingAFileCanBeEndedBetweenItsPieces) {
  const auto file = write("large", std::string(5'000'000, 'b'));
  uint64_t bytes = 0;
  sha256_of_file(file, [&](uint64_t piece) { bytes += piece; });
  EXPECT_EQ(bytes, 5'000'000u);
  int pieces = 0;
  const auto stop = [&](uint64_t) {
    if (++pieces == 2) throw std::runtime_error("stop");
  };
  EXPECT_THROW(sha256_of_file(file, stop), std::runtime_error);
  EXPECT_EQ(pieces, 2);
}

TEST_F(Hash, NamesAFileThatIsNotThere) {
  EXPECT_THAT(refusal([&] { sha256_of_file(folder_ / "absent"); }), ::testing::HasSubstr("absent"));
}

}  // namespace
}  // namespace pixart::formats
