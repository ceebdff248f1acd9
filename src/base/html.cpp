#include "pixart/base/html.h"

#include <openssl/sha.h>

#include <algorithm>

#include "pixart/base/base64.h"
#include "pixart/base/error.h"

namespace pixart {
namespace {

// Each colour has a contrast of at least 4.5 : 1 to the background of its theme (light or dark).
constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --ground: #fff; --text: #1c1f23; --soft: #59616b; --line: #d5d9de; --stripe: #f5f6f8;
  --s0: #1d5fa8; --s1: #b8420c; --s2: #1b7a3d; --s3: #7a3fc4; --s4: #0c7378; --s5: #8a6100; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --text: #e6e8ea; --soft: #a2abb5; --line: #3a414a; --stripe: #1c2026;
    --s0: #7ab8f5; --s1: #fb9a5a; --s2: #6bd08c; --s3: #c5a9ff; --s4: #5ed3d8; --s5: #e6c04d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.25rem 3rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 1rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 2.2rem 0 .5rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.note { color: var(--soft); font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: bottom; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .8125rem; }
tbody th { color: inherit; font-size: inherit; font-weight: 500; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
tr.other th, tr.other td { color: var(--soft); }
figure { margin: .5rem 0; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font-family: inherit; font-size: 13px; }
svg .axis { stroke: var(--soft); } svg .grid { stroke: var(--line); } svg text.soft { fill: var(--soft); }
svg .mark { stroke: var(--text); stroke-dasharray: 2 4; }
svg [class^=series] { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.series-0 { stroke: var(--s0); } .series-1 { stroke: var(--s1); stroke-dasharray: 8 4; }
.series-2 { stroke: var(--s2); stroke-dasharray: 2 4; } .series-3 { stroke: var(--s3); stroke-dasharray: 10 3 2 3; }
.series-4 { stroke: var(--s4); stroke-dasharray: 5 3; } .series-5 { stroke: var(--s5); stroke-dasharray: 12 4; }
.narrow { display: none; }
@media (max-width: 640px) { body { padding: .5rem 1rem 2rem; } .wide { display: none; } .narrow { display: block; }
  table.cards, .cards tbody { display: block; } .cards thead { display: none; }
  .cards tr { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .cards tbody th { grid-column: 1 / -1; font-weight: 600; }
  .cards th, .cards td { border: 0; padding: .05rem 0; }
  .cards td { display: flex; justify-content: space-between; gap: .5rem; }
  .cards td:empty { display: none; } .cards td::before { content: attr(data-name); color: var(--soft); } }
@media print { body { max-width: none; } }
)css";

// What a browser may load and run. `file:` is for Firefox: to it, the files next to a page that was opened from
// a disk are not 'self'.
constexpr std::string_view kContentPolicy =
    "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'";

std::string page_of(std::string_view policy, std::string_view title, std::string_view body,
                    std::string_view style) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"";
  page.append(policy).append(
      "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
  page.append(html_escaped(title)).append("</title>\n<style>").append(kStyle).append(style);
  page.append("</style>\n</head>\n<body>\n").append(body).append("</body>\n</html>\n");
  return page;
}

std::string script_hash(std::string_view script) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(script.data()), script.size(), digest);
  return to_base64({reinterpret_cast<const char*>(digest), sizeof digest});
}

// A policy is a list with blanks, commas and semicolons, in an attribute with double quotes.
void require_address(const std::string& address) {
  const bool is_web = address.starts_with("http://") || address.starts_with("https://");
  const auto is_plain = [](char c) {
    return c > 0x20 && c < 0x7F && std::string_view(";,\"'<>*\\").find(c) == std::string_view::npos;
  };
  if (is_web && std::ranges::all_of(address, is_plain)) return;
  throw UserError(fmt::format(
      "the address '{}' cannot be named in the policy of a page; it begins with http:// or https:// and has none "
      "of the characters blank ; , \" ' < > * \\",
      address));
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if (c == '\'')
      result += "&#39;";
    else
      result += (c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7F ? ' ' : c;
  }
  return result;
}

std::string data_url(std::string_view media_type, std::string_view bytes) {
  return "data:" + std::string(media_type) + ";base64," + to_base64(bytes);
}

std::string html_page(std::string_view title, std::string_view body, std::string_view style) {
  return page_of(kContentPolicy, title, body, style);
}

std::string content_policy(const PageScript& script) {
  std::string policy =
      std::string(kContentPolicy) + "; script-src 'sha256-" + script_hash(script.script) + "'";
  if (!script.connect_to.empty()) require_address(script.connect_to);
  if (script.connects_home || !script.connect_to.empty()) policy += "; connect-src";
  if (script.connects_home) policy += " 'self'";
  return script.connect_to.empty() ? policy : policy + " " + script.connect_to;
}

std::string html_page(std::string_view title, std::string_view body, std::string_view style,
                      const PageScript& script) {
  std::string whole(body);
  whole.append("<script>").append(script.script).append("</script>\n");
  return page_of(content_policy(script), title, whole, style);
}

std::string json_for_html(std::string_view json) {
  std::string result;
  for (const char c : json) result += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return result;
}

}  // namespace pixart
