#include "pixart/caption/caption.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "chat.h"
#include "exchange.h"
#include "job_folder.h"
#include "job_store.h"
#include "message_text.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/log.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "prompt.h"
#include "result_files.h"
#include "same_answers.h"

namespace pixart::caption {

namespace {

std::string prompt_of(const CaptionOptions& options) {
  if (!options.prompt.empty() && options.with_caption)
    throw UserError("--with-caption selects the paper's prompt; in your own prompt write {caption}.");
  if (!options.prompt.empty()) return options.prompt;
  return options.with_caption ? paper_prompt_with_caption() : paper_prompt();
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
        client_(client_of(options.client, options.endpoint, options.insecure)),
        lock_(lock_job_folder(options.out, {kCaptions, kRejected}, "caption")),
        store_(options.out / kJobs, settings_of(options, prompt_, dataset),
               options.changed_source ? std::vector<std::string>{kSource} : std::vector<std::string>{}),
        exchange_(client_, options.model, options.temperature, store_) {
    for (const auto& rejection : dataset.rejected())
      if (!data::concerns_caption(rejection.reason)) unusable_.emplace(rejection.row, rejection);
    if (options.retry_rejected) store_.forget_rejected();
    list_open();
  }

  CaptionReport run() {
    auto report = send_and_write([this] { send(); }, [this] { return write(); });
    report.is_stopped = is_stopped_;
    return report;
  }

 private:
  std::string key_of(int64_t row) const { return dataset_.key(row); }

  void list_open() {
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      if (unusable_.count(row) > 0 || dataset_.is_left_out(row)) continue;
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
    exchange_.send(
        {.next = [&] { return next_request(images); },
         .key = [this](int64_t row) { return key_of(row); },
         .read = [this](int64_t, const std::string& body) { return parse_answer(body, options_.reasoning); },
         .finished = [this](int64_t row, const Result& result,
                            bool is_kept) { finish(row, result, is_kept); }});
    is_stopped_ = stop_requested();
    if (same_.is_all() && !options_.accept_same)
      log::warning("all {} answers of this call are the same: {}", same_.keys().size(),
                   followed_by("'" + shortened(same_.caption()) + "'", "Does the model see the images?"));
  }

  // Called from several threads.
  Prepared prepare(int64_t row) const {
    try {
      const Image image = dataset_.image(row);
      std::string jpeg;
      dataset_.on_sample(row, [&] { jpeg = image_to_send(image); });
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
      if (!image->rejection) return request_of(std::move(*image));
      store_.put({.key = key_of(image->row),
                  .text = {},
                  .reason = std::string(to_string(image->rejection->reason)),
                  .detail = image->rejection->detail,
                  .model = {}});
      advance();
    }
    return std::nullopt;
  }

  Request request_of(Prepared image) {
    pictures_[image.row] = std::hash<std::string>{}(image.body);
    return {.number = image.row, .body = std::move(image.body)};
  }

  // Throws if the first answers show that the model sees no image.
  void look_for_sameness(int64_t row, const Result& result) {
    const size_t picture = pictures_[row];
    if (options_.accept_same || same_.is_over() || result.text.empty() || !different_.insert(picture).second)
      return;
    if (!same_.add(result.key, result.text)) return;
    for (const auto& key : same_.keys()) store_.forget(key);
    throw UserError(followed_by(
        fmt::format("{} gives the same caption to {} different images: '{}'", client_.url,
                    same_.keys().size(), shortened(same_.caption())),
        "The model seems to see no image: start llama-server with --mmproj, or choose a model that accepts "
        "images. These captions are not kept. If they are right, give --accept-same."));
  }

  void finish(int64_t row, const Result& result, bool is_kept) {
    if (is_kept) look_for_sameness(row, result);
    pictures_.erase(row);
    advance();
  }

  void advance() {
    ++done_;
    const double seconds = monotonic_seconds() - begun_;
    progress_->update(
        done_,
        seconds > 0 ? fmt::format("{:.0f} tokens/s", double(exchange_.written_tokens()) / seconds) : "");
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
  Exchange exchange_;
  std::map<int64_t, data::Rejection>
      unusable_;  // rejected by the listing; a duplicate has the key of a good sample
  std::vector<int64_t> open_;
  std::map<int64_t, size_t> pictures_;  // in progress: a hash of the request, and so of the image
  std::set<size_t> different_;  // the hashes of the captioned ones, as long as all answers are the same
  SameAnswers same_;
  Progress* progress_ = nullptr;
  int64_t done_ = 0, already_done_ = 0;
  bool is_stopped_ = false;
  const double begun_ = monotonic_seconds();
};

}  // namespace

CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options) {
  return Captioning(source, dataset, options).run();
}

}  // namespace pixart::caption
