#include "pixart/base/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Html, Escapes) {
  EXPECT_EQ(html_escaped("a <b> & \"c\" 'd' é"), "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; é");
  EXPECT_EQ(html_escaped(std::string("a\0b\x1b[31m\n\t\x7f", 11)), "a b [31m\n\t ");
  EXPECT_EQ(html_escaped(""), "");
}

TEST(Html, ADataUrlIsInTheStandardsBase64) {  // RFC 4648, section 10
  const auto base64 = [](std::string_view bytes) { return data_url("a/b", bytes).substr(16); };
  EXPECT_EQ(data_url("image/png", ""), "data:image/png;base64,");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xef\xbe"), "/+++");
}

TEST(Html, APageIsWholeAndNeedsNothingElse) {
  const std::string page = html_page("<script>alert(1)</script>", "<p>hello</p>\n", "p { color: red }");
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
  EXPECT_THAT(page, HasSubstr("<title>&lt;script&gt;"));
  EXPECT_THAT(page, HasSubstr("<p>hello</p>"));
  EXPECT_THAT(page, HasSubstr("p { color: red }</style>"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(page, HasSubstr("width=device-width"));
  for (const char* outside : {"http:", "https:", "<script", "url(", "@import"})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  for (int i = 0; i < kNumSeriesColours; ++i)
    EXPECT_THAT(page, HasSubstr(".series-" + std::to_string(i) + " {"));
}

TEST(Html, APageForbidsScriptsAndTheNetwork) {
  const std::string page = html_page("title", "<p>hello</p>\n");
  const size_t policy = page.find("<meta http-equiv=\"Content-Security-Policy\" content=\"");
  ASSERT_NE(policy, std::string::npos);
  EXPECT_LT(policy, page.find("<style>")) << "a policy does not count for what is before it";
  const std::string rules = page.substr(policy, page.find("\">", policy) - policy);
  for (const char* rule : {"default-src 'none'", "img-src 'self' file: data:", "style-src 'unsafe-inline'",
                           "base-uri 'none'", "form-action 'none'"})
    EXPECT_THAT(rules, HasSubstr(rule));
  for (const char* too_much : {"script-src", "connect-src", "https:", "*"})
    EXPECT_THAT(rules, Not(HasSubstr(too_much)));
}

}  // namespace
}  // namespace pixart
