#include "pixart/data/web_address.h"

#include <gmock/gmock.h>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "web_request.h"

namespace pixart::data {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

std::string refusal_of(const std::string& address) {
  try {
    request_for(address);
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << address << " is not refused";
  return "";
}

class S3Variables : public ::testing::Test {
 protected:
  S3Variables() { clear(); }
  ~S3Variables() override { clear(); }
  static void clear() {
    for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
                             "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"})
      set_environment_variable(name, "");
  }
};

TEST(WebAddress, IsToldFromAPath) {
  for (const char* address : {"https://host/a.tar", "http://[::1]:80/a", "s3://bucket/key", "gs://b/k"})
    EXPECT_TRUE(is_address(address)) << address;
  for (const char* path : {"a.tar", "/data/a.tar", "C://x", "data/x://y", "://x", "", "a{0..1}://b"})
    EXPECT_FALSE(is_address(path)) << path;
}

TEST(WebAddress, SignaturesAreNotShown) {
  EXPECT_EQ(shown_address("https://host/a.tar"), "https://host/a.tar");
  EXPECT_EQ(shown_address("https://host/a.tar?X-Amz-Signature=abc&X-Amz-Date=1#x"), "https://host/a.tar");
  EXPECT_EQ(shown_address("https://host/a.tar?Expires=1&Signature=abc&Key-Pair-Id=k"), "https://host/a.tar");
  EXPECT_EQ(shown_address("https://host/a.tar?sv=2024&se=soon&sp=r&sig=abc"), "https://host/a.tar");
  EXPECT_EQ(shown_address("https://me:secret@host/a@b.tar"), "https://host/a@b.tar");
  EXPECT_EQ(shown_address("https://host/a@b.tar"), "https://host/a@b.tar");
  EXPECT_EQ(shown_address("s3://bucket/what?.tar"), "s3://bucket/what?.tar");
  EXPECT_EQ(shown_address("what?.tar"), "what?.tar");
}

// Files that a query tells apart have different names, whatever their signatures are.
TEST(WebAddress, AQueryIsShownAsAHash) {
  const std::string one = shown_address("https://host/get?file=1&token=abc");
  EXPECT_THAT(one, MatchesRegex("https://host/get\\?[0-9a-f]{8}"));
  EXPECT_EQ(shown_address("https://host/get?token=xyz&file=1"), one);
  EXPECT_NE(shown_address("https://host/get?file=2&token=abc"), one);
  EXPECT_NE(shown_address("https://host/get?se=1"), shown_address("https://host/get?se=2"));  // not of Azure
}

TEST(WebAddress, RequestsKeepTheQuery) {
  const auto request = request_for("https://host/a.tar?X-Amz-Signature=abc#part");
  EXPECT_EQ(request.url, "https://host/a.tar?X-Amz-Signature=abc");
  EXPECT_EQ(request.shown, "https://host/a.tar");
  EXPECT_FALSE(request.is_local);
  EXPECT_TRUE(request_for("http://localhost:80/a.tar").is_local);
}

TEST(WebAddress, WhatCannotBeUsedSaysWhy) {
  EXPECT_THAT(refusal_of("ftp://host/a.tar"), HasSubstr("begin with https://, http:// or s3://"));
  EXPECT_THAT(refusal_of("file:///etc/passwd"), HasSubstr("begin with https://"));
  EXPECT_THAT(refusal_of("gs://bucket/a.tar"), HasSubstr("AWS_ENDPOINT_URL"));
  EXPECT_THAT(refusal_of("https://host/folder/"), HasSubstr("{000000..000127}"));
  EXPECT_THAT(refusal_of("https://host"), HasSubstr("folder"));
  EXPECT_THAT(refusal_of("https://host/a b.tar"), HasSubstr("%20"));
  EXPECT_THAT(refusal_of("https://me:secret@host/a.tar"), Not(HasSubstr("secret")));
  EXPECT_THAT(refusal_of("s3://bucket"), HasSubstr("s3://BUCKET/KEY"));
  EXPECT_THAT(refusal_of("s3://bucket/"), HasSubstr("s3://BUCKET/KEY"));
}

TEST_F(S3Variables, PathStyleAddressesAreMade) {
  EXPECT_EQ(request_for("s3://bucket/a b/c+d.tar").url,
            "https://s3.us-east-1.amazonaws.com/bucket/a%20b/c%2Bd.tar");
  EXPECT_EQ(request_for("s3://bucket/a.tar").signing, "");
  set_environment_variable("AWS_REGION", "eu-central-1");
  EXPECT_EQ(request_for("s3://bucket/a.tar").url, "https://s3.eu-central-1.amazonaws.com/bucket/a.tar");
  set_environment_variable("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/");
  set_environment_variable("AWS_ACCESS_KEY_ID", "id");
  EXPECT_THAT(refusal_of("s3://bucket/a.tar"), HasSubstr("needs both"));
  set_environment_variable("AWS_SECRET_ACCESS_KEY", "secret");
  const auto request = request_for("s3://bucket/a.tar");
  EXPECT_EQ(request.url, "http://127.0.0.1:9000/bucket/a.tar");
  EXPECT_EQ(request.shown, "s3://bucket/a.tar");
  EXPECT_EQ(request.signing, "aws:amz:eu-central-1:s3");
  EXPECT_EQ(request.keys, "id:secret");
}

}  // namespace
}  // namespace pixart::data
