#include "protobuf_message.h"

#include <gtest/gtest.h>

namespace pixart::formats {
namespace {

using namespace std::string_literals;

// The examples of the encoding's documentation, protobuf.dev/programming-guides/encoding.
TEST(ProtobufMessage, AgreesWithTheDocumentation) {
  ProtobufMessage test1, test2, test3;
  EXPECT_EQ(test1.integer(1, 150).encoded(), "\x08\x96\x01");
  EXPECT_EQ(test2.bytes(2, "testing").encoded(), "\x12\x07testing");
  EXPECT_EQ(test3.message(3, test1).encoded(), "\x1a\x03\x08\x96\x01");
}

TEST(ProtobufMessage, NumbersAtTheirLimits) {
  ProtobufMessage negative, small, large;
  EXPECT_EQ(negative.integer(1, -1).encoded(), "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  EXPECT_EQ(small.integer(1, 127).integer(1, 128).encoded(), "\x08\x7f\x08\x80\x01");
  EXPECT_EQ(large.integer(16, 0).encoded(), "\x80\x01\x00"s) << "fields from 16 on take two bytes";
}

TEST(ProtobufMessage, RealNumbersAreLittleEndian) {
  ProtobufMessage one, half;
  EXPECT_EQ(one.real64(1, 1.0).encoded(), "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"s);
  EXPECT_EQ(half.real32(2, 0.5f).encoded(), "\x15\x00\x00\x00\x3f"s);
}

}  // namespace
}  // namespace pixart::formats
