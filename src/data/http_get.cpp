#include "http_get.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <random>
#include <thread>

#include "http_connection.h"
#include "pixart/base/env.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/retry_after.h"

namespace pixart::data {

namespace {

using FaultKind = HttpFault::Kind;

constexpr double kGrace = 5;     // seconds of a request that fails, after which a request to stop ends it
constexpr int kMostMisfits = 3;  // answers that do not fit, until the server is not believed any more
constexpr uint64_t kLargestFile = uint64_t{1} << 44;  // what a server may claim; more than any shard has

// Faults that every attempt would meet.
bool is_final(CURLcode code) {
  constexpr CURLcode kFinal[] = {CURLE_UNSUPPORTED_PROTOCOL,    CURLE_URL_MALFORMAT,
                                 CURLE_TOO_MANY_REDIRECTS,      CURLE_SSL_CERTPROBLEM,
                                 CURLE_SSL_ISSUER_ERROR,        CURLE_SSL_CACERT_BADFILE,
                                 CURLE_PEER_FAILED_VERIFICATION};
  return std::find(std::begin(kFinal), std::end(kFinal), code) != std::end(kFinal);
}

bool is_temporary(long status) { return status == 408 || status == 425 || status == 429 || status >= 500; }

// "HTTP 403 (AccessDenied)": with the word that servers of S3 say.
std::string said_by(const Transfer& transfer) {
  const size_t begin = transfer.refusal.find("<Code>"), end = transfer.refusal.find("</Code>");
  constexpr size_t kTag = 6, kLongest = 64;
  const bool has_word = begin != std::string::npos && end != std::string::npos && end > begin + kTag;
  const std::string word = has_word ? transfer.refusal.substr(begin + kTag, end - begin - kTag) : "";
  return fmt::format("HTTP {}{}", transfer.head.status,
                     word.empty() ? "" : " (" + printable(word.substr(0, kLongest)) + ")");
}

const char* advice_for(const WebRequest& request, long status) {
  if (status == 407) return "The proxy demands a login; https_proxy and http_proxy name the proxy.";
  if (status >= 300 && status < 400 && request.is_s3) return "Set AWS_REGION to the region of the bucket.";
  if (status != 401 && status != 403) return "Check the address.";
  if (!request.is_s3)
    return "Does the file need a login, or has a presigned address expired? Make new ones, and start the same "
           "command again.";
  return request.signing.empty()
             ? "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION."
             : "Check the AWS_ variables and the rights of the key, and that the clock is right.";
}

// Asks again until a good answer came.
class Conversation {
 public:
  Conversation(const WebRequest& request, const HttpLimits& limits, const FileIdentity* known)
      : request_(request), limits_(limits), known_(known) {}

  FileIdentity read(uint64_t offset, uint64_t count, char* to) {
    const double began = monotonic_seconds();
    for (int attempt = 1;; ++attempt) {
      Transfer transfer{.limits = limits_, .offset = offset, .count = count, .to = to};
      const CURLcode code = send_range(request_, transfer);
      if (auto identity = judge(code, transfer)) return std::move(*identity);
      wait(transfer, attempt, began);
    }
  }

 private:
  [[noreturn]] void fail(FaultKind kind, const std::string& what, const std::string& advice) const {
    throw HttpFault(kind, fmt::format("{}: {}. {}", request_.shown, what, advice));
  }

  // What the answer says of the file; nothing: ask again.
  std::optional<FileIdentity> judge(CURLcode code, const Transfer& transfer) {
    const long status = transfer.head.status;
    constexpr long kWhole = 200, kPartial = 206, kBeyond = 416;
    if (is_final(code)) refuse_connection(code);
    if (status == kWhole)
      fail(FaultKind::kUnusable, "the server sends the whole file where a part is asked for",
           "pixart reads shards from servers that support range requests (Accept-Ranges: bytes).");
    if (status == kPartial) return judge_part(code, transfer);
    if (status == kBeyond && known_ == nullptr && transfer.head.content_range == "bytes */0")
      return FileIdentity{.bytes = 0, .validator = transfer.head.validator()};
    if (status == kBeyond && known_ != nullptr) fail_changed("it has become shorter");
    if (status == 404 || status == 410) fail(FaultKind::kMissing, said_by(transfer), "Check the address.");
    if (status >= 300 && !is_temporary(status) && (code == CURLE_OK || status >= 400))
      fail(FaultKind::kRefused, said_by(transfer), advice_for(request_, status));
    what_ = status >= 400         ? said_by(transfer)
            : transfer.is_stalled ? "the transfer stalls"
            : code == CURLE_OK    ? fmt::format("an answer that is not understood (HTTP {})", status)
                                  : curl_easy_strerror(code);
    return std::nullopt;
  }

  std::optional<FileIdentity> judge_part(CURLcode code, const Transfer& transfer) {
    const auto range = transfer.range();
    const bool is_encoded = !transfer.head.encoding.empty() && transfer.head.encoding != "identity";
    if (transfer.is_misfit || !range || is_encoded || (!range->total && known_ == nullptr)) {
      what_ = is_encoded ? "the answer is compressed" : "the answer is not " + part_of(transfer);
      if (++misfits_ >= kMostMisfits)
        fail(FaultKind::kUnusable, what_,
             "Is a proxy between this machine and the server that changes answers?");
      return std::nullopt;
    }
    const FileIdentity identity{.bytes = range->total ? *range->total : known_->bytes,
                                .validator = transfer.head.validator()};
    if (identity.bytes > kLargestFile)
      fail(FaultKind::kUnusable,
           fmt::format("the server says that the file has {} bytes ({}), and no shard may have more than {}",
                       identity.bytes, human_bytes(identity.bytes), human_bytes(kLargestFile)),
           "Check the address, and what the server says as Content-Range.");
    if (known_ != nullptr && identity.bytes != known_->bytes)
      fail_changed(fmt::format("it had {} bytes and has {}", known_->bytes, identity.bytes));
    if (known_ != nullptr && identity.validator != known_->validator)
      fail_changed(fmt::format("the server called it {} and calls it {}", printable(known_->validator),
                               printable(identity.validator)));
    if (code == CURLE_OK && transfer.got == transfer.count) return identity;
    what_ = transfer.is_stalled ? "the transfer stalls" : "the answer is cut off";
    return std::nullopt;
  }

  std::string part_of(const Transfer& transfer) const {
    return fmt::format("the part that was asked for (bytes {} to {}{})", transfer.offset,
                       transfer.offset + transfer.count - 1,
                       known_ == nullptr ? "" : fmt::format(" of {}, as the server said", known_->bytes));
  }

  [[noreturn]] void fail_changed(const std::string& how) const {
    fail(FaultKind::kChanged, "the file was changed while it was in use: " + how,
         "Data that changes cannot be read again as it was; put the old file back, or start a new run.");
  }

  [[noreturn]] void refuse_connection(CURLcode code) const {
    const bool is_certificate =
        code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT && code != CURLE_TOO_MANY_REDIRECTS;
    fail(FaultKind::kRefused, curl_easy_strerror(code),
         is_certificate
             ? "CURL_CA_BUNDLE names a PEM file of certificates to trust, such as those of a private "
               "authority."
             : "Check where the server redirects to: only to http and https, from https only to "
               "https, at most five times.");
  }

  // Pauses before the next attempt, or gives up.
  void wait(const Transfer& transfer, int attempt, double began) {
    const double waited = monotonic_seconds() - began;
    const auto asked = retry_after_seconds(transfer.head.retry_after, transfer.head.date);
    const bool may_ask = transfer.head.status >= 400;
    if (may_ask && asked && *asked > limits_.patience_seconds)
      fail(FaultKind::kComeLater, what_ + ", and the server asks to wait for " + human_seconds(*asked),
           "Start the same command again then, or raise PIXART_HTTP_PATIENCE.");
    const double pause =
        std::min(limits_.longest_pause_seconds, limits_.first_pause_seconds * std::exp2(double(attempt - 1)));
    thread_local std::minstd_rand jitter(uint32_t(std::fmod(monotonic_seconds() * 1e6, 4e9)));
    const double seconds =
        (may_ask ? asked.value_or(0) : 0) + pause * std::uniform_real_distribution<double>(0.5, 1.5)(jitter);
    if (stop_requested() && waited >= kGrace)
      fail(FaultKind::kStopped, "stopped on request while the server did not answer (" + what_ + ")",
           "The same command continues.");
    if (waited >= limits_.patience_seconds)
      fail(FaultKind::kNoAnswer, fmt::format("{} ({} attempts in {})", what_, attempt, human_seconds(waited)),
           "Start the same command again when the server answers.");
    warn();
    sleep(seconds);
  }

  // A request to stop makes the pauses short: the step that waits for this part can still be saved.
  static void sleep(double seconds) {
    constexpr std::chrono::milliseconds kSlice{20};
    constexpr double kShort = 0.2;
    const double began = monotonic_seconds();
    for (double slept = 0; slept < seconds && (slept < kShort || !stop_requested());
         slept = monotonic_seconds() - began)
      std::this_thread::sleep_for(kSlice);
  }

  // From time to time, to explain why it is slow.
  void warn() const {
    constexpr double kBetweenSeconds = 30;
    static std::atomic<double> next{0};
    const double now = monotonic_seconds();
    if (double due = next; now < due || !next.compare_exchange_strong(due, now + kBetweenSeconds)) return;
    log::warning("{}: {}. It is tried again.", request_.shown, what_);
  }

  const WebRequest& request_;
  const HttpLimits& limits_;
  const FileIdentity* known_;
  std::string what_;  // why the last attempt failed
  int misfits_ = 0;
};

}  // namespace

HttpLimits http_limits(double patience) {
  return {.patience_seconds = patience,
          .stall_seconds = std::min(30.0, patience / 4),
          .connect_seconds = std::min(20.0, patience / 4),
          .first_pause_seconds = std::min(0.5, patience / 100),
          .longest_pause_seconds = std::min(30.0, patience / 8)};
}

HttpLimits http_limits() {
  const std::string text = environment_variable("PIXART_HTTP_PATIENCE").value_or("");
  if (text.empty()) return {};
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds > 0 && seconds <= 1e6))
    throw UserError("PIXART_HTTP_PATIENCE is not a number of seconds above 0.");
  return http_limits(seconds);
}

FileIdentity ask_identity(const WebRequest& request, const HttpLimits& limits) {
  char first = 0;
  return Conversation(request, limits, nullptr).read(0, 1, &first);
}

void get_range(const WebRequest& request, const FileIdentity& known, uint64_t offset, uint64_t count,
               char* to, const HttpLimits& limits) {
  PIXART_CHECK(count > 0, "{}", request.shown);
  Conversation(request, limits, &known).read(offset, count, to);
}

}  // namespace pixart::data
