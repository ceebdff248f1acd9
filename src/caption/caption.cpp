#include "pixart/caption/caption.h"

#include <map>
#include <optional>
#include <set>

#include "chat.h"
#include "endpoint.h"
#include "job_store.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/formats/hash.h"
#include "prompt.h"
#include "result_files.h"
#include "suspects.h"

namespace pixart::caption {
namespace fs = std::filesystem;

namespace {

FileLock locked_folder(const fs::path& folder) {
  create_folders(folder);
  auto lock = FileLock::try_lock(folder / ".lock");
  if (!lock)
    throw UserError(fmt::format("another process writes captions into {}.", folder.string()),
                    ExitCode::kFolderOwned);
  if (!fs::exists(folder / kJobs))
    for (const char* name : {kCaptions, kRejected})
      if (fs::exists(folder / name))
        throw UserError(
            fmt::format("{} was not written by `pixart caption` ({} is missing next to it) and is not "
                        "replaced. Remove it, or choose another --out.",
                        (folder / name).string(), kJobs));
  remove_leftovers(folder, {.files = {R"(captions\.jsonl)", R"(rejected\.jsonl)"}});
  return std::move(*lock);
}

std::string prompt_of(const CaptionOptions& options) {
  if (!options.prompt.empty() && options.with_caption)
    throw UserError("--with-caption selects the paper's prompt; in your own prompt write {caption}.");
  if (!options.prompt.empty()) return options.prompt;
  return options.with_caption ? paper_prompt_with_caption() : paper_prompt();
}

ClientOptions client_of(const CaptionOptions& options) {
  ClientOptions client = options.client;
  client.url = request_url(options.endpoint);
  check_key(client.key, client.url, options.insecure);
  return client;
}

const char* const kSource = "source (its list of images, as a hash)";

std::map<std::string, std::string> settings_of(const CaptionOptions& options, const std::string& prompt,
                                               const data::Dataset& dataset) {
  std::map<std::string, std::string> settings = {{"model", options.model},
                                                 {"prompt", prompt},
                                                 {"max_tokens", std::to_string(options.max_tokens)},
                                                 {"temperature", fmt::format("{}", options.temperature)},
                                                 {kSource, dataset.fingerprint()}};
  if (uses_caption(prompt)) settings["captions of the source (a hash)"] = data::captions_fingerprint(dataset);
  return settings;
}

// An image that is ready to be sent, or the reason why there is none.
struct Prepared {
  int64_t row = 0;
  std::string body;
  std::optional<data::Rejection> rejection = std::nullopt;
};

class Captioning {
 public:
  Captioning(const data::SourceConfig& source, const data::Dataset& dataset, const CaptionOptions& options)
      : dataset_(dataset),
        options_(options),
        name_(source.name),
        prompt_(prompt_of(options)),
        client_(client_of(options)),
        lock_(locked_folder(options.out)),
        store_(options.out / kJobs, settings_of(options, prompt_, dataset),
               options.changed_source ? std::vector<std::string>{kSource} : std::vector<std::string>{}),
        suspects_(client_.url, store_.has_captions()) {
    for (const auto& rejection : dataset.rejected())
      if (!data::concerns_caption(rejection.reason)) unusable_.emplace(rejection.row, rejection);
    if (options.retry_rejected) store_.forget_rejected();
    list_open();
  }

  CaptionReport run() {
    try {
      send();
    } catch (const UserError&) {
      write();
      throw;
    }
    auto report = write();
    report.is_stopped = is_stopped_;
    return report;
  }

 private:
  std::string key_of(int64_t row) const { return dataset_.row(row).key; }

  void list_open() {
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      if (unusable_.count(row) > 0) continue;
      if (store_.find(key_of(row)))
        ++done_;
      else if (options_.limit == 0 || int64_t(open_.size()) < options_.limit)
        open_.push_back(row);
    }
    already_done_ = done_;
  }

  void send() {
    if (open_.empty()) return;
    Progress progress("caption " + name_, already_done_ + int64_t(open_.size()), "image", already_done_);
    progress_ = &progress;
    size_t next = 0;
    // Images are decoded, reduced and encoded before they are sent.
    Prefetch<int64_t, Prepared> images(
        physical_cores(), 2 * client_.in_flight,
        [&]() -> std::optional<int64_t> {
          return next < open_.size() ? std::optional(open_[next++]) : std::nullopt;
        },
        [this](int64_t row) { return prepare(row); });
    send_all(client_, {.next = [&] { return next_request(images); },
                       .done = [this](int64_t row, const Reply& reply) { return take(row, reply); },
                       .stop = stop_requested});
    is_stopped_ = stop_requested();
    if (is_stopped_) return;  // the last failed requests stay open
    for (const auto& result : suspects_.finish()) store_.put(result);
  }

  // Called from several threads.
  Prepared prepare(int64_t row) const {
    try {
      const std::string jpeg = image_to_send(dataset_.image(row));
      const ChatOptions chat{
          .model = options_.model, .max_tokens = options_.max_tokens, .temperature = options_.temperature};
      return {.row = row, .body = request_body(chat, fill_prompt(prompt_, dataset_.caption(row)), jpeg)};
    } catch (const data::BadSample& bad) {
      return {.row = row, .body = {}, .rejection = bad.rejection()};
    }
  }

  std::optional<Request> next_request(Prefetch<int64_t, Prepared>& images) {
    while (!stop_requested()) {
      auto image = images.next();
      if (!image) break;
      if (!image->rejection) return Request{.number = image->row, .body = std::move(image->body)};
      store_.put({.key = key_of(image->row),
                  .caption = {},
                  .reason = std::string(to_string(image->rejection->reason)),
                  .detail = image->rejection->detail,
                  .model = {}});
      advance();
    }
    return std::nullopt;
  }

  static Answer answer_of(const Reply& reply) {
    if (reply.status == 200) return parse_answer(reply.body);
    Answer answer;
    answer.fault = reply.is_temporary() ? AnswerFault::kNoAnswer : AnswerFault::kError;
    const std::string message = error_message(reply.body);
    answer.detail = reply.status == 0 ? reply.fault : fmt::format("HTTP {}", reply.status);
    if (!message.empty()) answer.detail += ", " + message;
    return answer;
  }

  // True: the request is sent again.
  bool take(int64_t row, const Reply& reply) {
    const Answer answer = answer_of(reply);
    Result& result = results_[row];
    result.key = key_of(row);
    result.model = answer.model.empty() ? options_.model : answer.model;
    result.prompt_tokens += answer.prompt_tokens;
    result.completion_tokens += answer.completion_tokens;
    result.attempts = reply.attempts;
    result.caption = answer.caption;
    result.reason = answer.fault == AnswerFault::kNone ? "" : to_string(answer.fault);
    result.detail = answer.detail;
    tokens_ += answer.completion_tokens;
    // A second attempt may repair an accidental fault. A model that refuses, or writes too much, would do so
    // again, and cost money.
    const bool is_accident = answer.fault == AnswerFault::kNotJson || answer.fault == AnswerFault::kEmpty ||
                             answer.fault == AnswerFault::kBadText;
    const bool is_first = reply.status == 200 && asked_again_.insert(row).second;
    if (is_accident && is_first && reply.attempts <= client_.retries) return true;
    if (may_be_the_endpoints(answer.fault)) {
      suspects_.add(std::move(result), answer.fault);
    } else {
      for (const auto& suspect : suspects_.acquit_endpoint()) store_.put(suspect);
      store_.put(result);
    }
    results_.erase(row);
    asked_again_.erase(row);
    advance();
    return false;
  }

  void advance() {
    ++done_;
    const double seconds = monotonic_seconds() - begun_;
    progress_->update(done_, seconds > 0 ? fmt::format("{:.0f} tokens/s", double(tokens_) / seconds) : "");
  }

  CaptionReport write() {
    return write_results(options_.out, dataset_, unusable_, store_, formats::sha256(prompt_));
  }

  const data::Dataset& dataset_;
  const CaptionOptions& options_;
  const std::string name_, prompt_;
  const ClientOptions client_;
  FileLock lock_;
  JobStore store_;
  Suspects suspects_;
  std::map<int64_t, data::Rejection>
      unusable_;  // rejected by the listing; a duplicate has the key of a good sample
  std::vector<int64_t> open_;
  std::map<int64_t, Result> results_;  // in progress
  std::set<int64_t> asked_again_;
  Progress* progress_ = nullptr;
  int64_t done_ = 0, already_done_ = 0, tokens_ = 0;
  bool is_stopped_ = false;
  const double begun_ = monotonic_seconds();
};

}  // namespace

CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options) {
  return Captioning(source, dataset, options).run();
}

}  // namespace pixart::caption
