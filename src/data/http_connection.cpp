#include "http_connection.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/version.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

constexpr double kLeastSpeed = 1024;     // bytes a second
constexpr size_t kMostExplained = 2048;  // bytes of the body of a refusal

size_t take_body(char* bytes, size_t size, size_t items, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t count = size * items;
  constexpr long kPartial = 206;
  if (transfer.head.status != kPartial) {
    if (transfer.head.status < 400) return 0;  // the whole file
    transfer.refusal.append(bytes, std::min(count, kMostExplained - transfer.refusal.size()));
    return count;
  }
  transfer.is_misfit = !transfer.range() || transfer.got + count > transfer.count;
  if (transfer.is_misfit) return 0;
  std::memcpy(transfer.to + transfer.got, bytes, count);
  transfer.got += count;
  return count;
}

size_t take_header(char* bytes, size_t size, size_t items, void* user) {
  static_cast<Transfer*>(user)->head.add_line({bytes, size * items});
  return size * items;
}

// Called at least once a second.
int watch_speed(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  const double now = monotonic_seconds(), limit = transfer.limits.stall_seconds;
  if (now - transfer.window_began < limit) return 0;
  transfer.is_stalled = double(transfer.got - transfer.got_before_window) < kLeastSpeed * limit;
  transfer.window_began = now, transfer.got_before_window = transfer.got;
  return transfer.is_stalled ? 1 : 0;
}

using Headers = std::unique_ptr<curl_slist, void (*)(curl_slist*)>;

Headers headers_of(const WebRequest& request) {
  curl_slist* list = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (!request.signing.empty())  // S3 demands it, and not every libcurl sends it; of the empty body
    list = curl_slist_append(list, ("x-amz-content-sha256: " + formats::sha256("")).c_str());
  if (!request.token.empty())
    list = curl_slist_append(list, ("x-amz-security-token: " + request.token).c_str());
  return {list, curl_slist_free_all};
}

long milliseconds(double seconds) { return std::max(1L, long(std::ceil(seconds * 1000))); }

// One connection for each thread, which stays open between requests.
class Connection {
 public:
  Connection() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    PIXART_CHECK(ready == CURLE_OK, "curl_global_init");
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  CURLcode send(const WebRequest& request, Transfer& transfer) {
    open();
    const Headers headers = headers_of(request);
    const std::string range = fmt::format("{}-{}", transfer.offset, transfer.offset + transfer.count - 1);
    set_place(request);
    set(CURLOPT_HTTPHEADER, headers.get());
    set(CURLOPT_RANGE, range.c_str());
    set(CURLOPT_WRITEFUNCTION, take_body), set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_HEADERFUNCTION, take_header), set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, watch_speed), set(CURLOPT_XFERINFODATA, &transfer);
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(transfer.limits.connect_seconds));
    transfer.window_began = monotonic_seconds();
    const CURLcode code = curl_easy_perform(easy_);
    if (code != CURLE_OK) close();  // a request that was broken off leaves traces in its handle
    return code;
  }

 private:
  void open() {
    if (easy_ != nullptr)
      curl_easy_reset(easy_);  // forgets the request, not the connection
    else
      easy_ = curl_easy_init();
    PIXART_CHECK(easy_ != nullptr, "curl_easy_init");
  }
  void close() {
    if (easy_ != nullptr) curl_easy_cleanup(easy_);
    easy_ = nullptr;
  }

  template <class Value>
  void set(CURLoption option, Value value) {
    PIXART_CHECK(curl_easy_setopt(easy_, option, value) == CURLE_OK, "curl option {}", int(option));
  }

  void set_place(const WebRequest& request) {
    constexpr long kBuffer = 256 << 10;
    const bool is_safe = request.url.starts_with("https://");
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, is_safe ? "https" : "http,https");
    // The keys of S3 are for its server alone.
    set(CURLOPT_FOLLOWLOCATION, request.is_s3 ? 0L : 1L), set(CURLOPT_MAXREDIRS, 5L);
    set(CURLOPT_NOSIGNAL, 1L), set(CURLOPT_TCP_KEEPALIVE, 1L), set(CURLOPT_BUFFERSIZE, kBuffer);
    set(CURLOPT_USERAGENT, producer().c_str());
    if (request.is_local) set(CURLOPT_PROXY, "");
    if (!request.signing.empty()) {
      set(CURLOPT_AWS_SIGV4, request.signing.c_str());
      set(CURLOPT_USERPWD, request.keys.c_str());
    }
    for (const char* name :
         {"SSL_CERT_FILE", "CURL_CA_BUNDLE"})  // as the command curl does; the last one counts
      if (const auto file = environment_variable(name); file && !file->empty())
        set(CURLOPT_CAINFO, file->c_str());
  }

  CURL* easy_ = nullptr;
};

}  // namespace

CURLcode send_range(const WebRequest& request, Transfer& transfer) {
  thread_local Connection connection;
  return connection.send(request, transfer);
}

std::optional<ContentRange> Transfer::range() const {
  const auto range = parse_content_range(head.content_range);
  const bool fits = range && range->first == offset && range->last - range->first + 1 == count;
  return fits ? range : std::nullopt;
}

}  // namespace pixart::data
