#include "endpoint.h"

#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using pixart::testing::refusal;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RequestUrl, EndsInTheInterfacesPath) {
  for (const char* endpoint :
       {"http://localhost:8080/v1", "http://localhost:8080/v1/", "http://localhost:8080/v1/chat/completions"})
    EXPECT_EQ(request_url(endpoint), "http://localhost:8080/v1/chat/completions") << endpoint;
  EXPECT_EQ(request_url("HTTPS://api.example.org/v1"), "https://api.example.org/v1/chat/completions");
  EXPECT_EQ(request_url("http://localhost:8080"), "http://localhost:8080/chat/completions");
}

TEST(RequestUrl, OtherAddressesAreRefused) {
  for (const char* endpoint : {"", "localhost:8080/v1", "ftp://host/v1", "file:///etc/passwd", "http://",
                               "http://host:99999/v1", "/v1", "https://a b/v1"})
    EXPECT_THAT(refusal([&] { request_url(endpoint); }), HasSubstr("http://localhost:8080/v1")) << endpoint;
  EXPECT_THAT(refusal([] { request_url("https://host/v1?key=sk-secret"); }), Not(HasSubstr("sk-secret")));
  for (const char* endpoint : {"https://sk-secret@host/v1", "https://me:sk-secret@host/v1"})
    EXPECT_THAT(refusal([&] { request_url(endpoint); }),
                AllOf(HasSubstr("--key-env"), Not(HasSubstr("sk-secret"))))
        << endpoint;
}

TEST(IsThisMachine, ByTheHostAlone) {
  for (const char* url :
       {"http://localhost/v1", "http://localhost:8080/v1", "http://127.0.0.1:1/", "http://[::1]:8/v1"})
    EXPECT_TRUE(is_this_machine(url)) << url;
  for (const char* url :
       {"http://localhost.example.org/v1", "http://127.0.0.1.example.org/", "http://10.0.0.1/localhost",
        "http://localhost@example.org/", "http://example.org/#localhost", "nonsense"})
    EXPECT_FALSE(is_this_machine(url)) << url;
}

TEST(CheckKey, DoesNotGoReadableToOthers) {
  const std::string key = "sk-0123456789";
  EXPECT_THAT(refusal([&] { check_key(key, "http://10.0.0.7/v1", false); }),
              AllOf(HasSubstr("10.0.0.7"), HasSubstr("--insecure"), Not(HasSubstr(key))));
  EXPECT_NO_THROW(check_key(key, "http://10.0.0.7/v1", true));
  EXPECT_NO_THROW(check_key(key, "https://10.0.0.7/v1", false));
  EXPECT_NO_THROW(check_key(key, "http://localhost:8080/v1", false));
  EXPECT_NO_THROW(check_key("", "http://10.0.0.7/v1", false));
}

TEST(CheckKey, IsHeaderText) {
  for (const std::string key : {"sk-1\r\nHost: evil", "sk 1", "sk-1\n", "sk-\xC3\xA9", "sk\x7F"})
    EXPECT_THAT(refusal([&] { check_key(key, "https://host/v1", false); }),
                AllOf(HasSubstr("--key-env"), Not(HasSubstr("sk"))));
}

}  // namespace
}  // namespace pixart::caption
