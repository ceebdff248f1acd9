#include "pixart/caption/caption.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "chat.h"
#include "endpoint.h"
#include "error_body.h"
#include "job_store.h"
#include "message_text.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "prompt.h"
#include "result_files.h"
#include "same_answers.h"
#include "secret.h"
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
  if (!client.ca_file.empty() && !fs::is_regular_file(client.ca_file))
    throw UserError(fmt::format("--ca-file: {} is not a file.", client.ca_file));
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

// Makes a request of another form, or nothing if it has that form already.
using Change = std::optional<std::string> (*)(const std::string& body);

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
    send_all(client_,
             {.next = [&] { return next_request(images); },
              .done = [this](int64_t row, const Reply& reply) { return take(row, reply); },
              .mend = [this](const Request& request, const Reply& reply) { return mend(request, reply); },
              .stop = stop_requested});
    is_stopped_ = stop_requested();
    if (same_.is_all() && !options_.accept_same)
      log::warning("all {} answers of this call are the same: {}", same_.keys().size(),
                   followed_by("'" + shortened(same_.caption()) + "'", "Does the model see the images?"));
    if (is_stopped_) return;  // the last failed requests stay open
    for (const auto& result : suspects_.finish()) store_.put(result);
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
                  .caption = {},
                  .reason = std::string(to_string(image->rejection->reason)),
                  .detail = image->rejection->detail,
                  .model = {}});
      advance();
    }
    return std::nullopt;
  }

  Request request_of(Prepared image) {
    pictures_[image.row] = std::hash<std::string>{}(image.body);
    for (const Change change : changes_)
      if (auto changed = change(image.body)) image.body = std::move(*changed);
    return {.number = image.row, .body = std::move(image.body)};
  }

  // Some interfaces call max_tokens by another name, only stream, or take no temperature. All later requests
  // are changed too.
  std::optional<std::string> mend(const Request& request, const Reply& reply) {
    const auto error = error_of(reply.body);
    const Change change = wants_completion_tokens(error.words) ? with_completion_tokens
                          : wants_stream(error.words)          ? as_stream
                          : refuses_temperature(error.words)   ? without_temperature
                                                               : nullptr;
    if (change == nullptr) return std::nullopt;
    constexpr double kUsual = 1;  // what an endpoint takes if a request has no temperature
    if (change == without_temperature && options_.temperature != kUsual)
      throw UserError(followed_by(fmt::format("{} answers with {}, {}", client_.url, status_text(reply),
                                              without_key(error.message, client_.key)),
                                  "Give the --temperature that it accepts, often 1."));
    if (std::find(changes_.begin(), changes_.end(), change) == changes_.end()) changes_.push_back(change);
    return change(request.body);
  }

  Answer answer_of(const Reply& reply) const {
    constexpr long kRefusedByFilter = 451;
    Answer answer;
    if (reply.status == 200) {
      answer = parse_answer(reply.body, options_.reasoning);
    } else {
      answer.fault = reply.is_temporary()               ? AnswerFault::kNoAnswer
                     : reply.status == kRefusedByFilter ? AnswerFault::kRefusal
                                                        : AnswerFault::kError;
      answer.detail = reply.status == 0 ? reply.fault : status_text(reply);
      const std::string message = reply.status == 0 ? "" : error_of(reply.body).message;
      if (!message.empty()) answer.detail += ", " + message;
    }
    for (std::string* text : {&answer.caption, &answer.detail, &answer.model})
      *text = without_key(*text, client_.key);
    return answer;
  }

  // Throws if the first answers show that the model sees no image.
  void look_for_sameness(int64_t row, const Result& result) {
    const size_t picture = pictures_[row];
    if (options_.accept_same || same_.is_over() || result.caption.empty() ||
        !different_.insert(picture).second)
      return;
    if (!same_.add(result.key, result.caption)) return;
    for (const auto& key : same_.keys()) store_.forget(key);
    throw UserError(followed_by(
        fmt::format("{} gives the same caption to {} different images: '{}'", client_.url,
                    same_.keys().size(), shortened(same_.caption())),
        "The model seems to see no image: start llama-server with --mmproj, or choose a model that accepts "
        "images. These captions are not kept. If they are right, give --accept-same."));
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
    result.detail = answer.fault == AnswerFault::kNone ? join(answer.cleaned, ",") : answer.detail;
    tokens_ += answer.completion_tokens;
    // A second attempt may repair an accidental fault. A model that refuses, or writes too much, would do so
    // again, and cost money.
    const bool is_accident = answer.fault == AnswerFault::kNotJson || answer.fault == AnswerFault::kEmpty ||
                             answer.fault == AnswerFault::kBadText;
    const bool is_first = reply.status == 200 && asked_again_.insert(row).second;
    if (is_accident && is_first && reply.attempts <= client_.retries) return true;
    if (may_be_the_endpoints(answer.fault)) {
      suspects_.add(std::move(result), answer.fault, reply.status);
    } else {
      for (const auto& suspect : suspects_.acquit_endpoint()) store_.put(suspect);
      store_.put(result);
      look_for_sameness(row, result);
    }
    results_.erase(row);
    pictures_.erase(row);
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
  std::map<int64_t, size_t> pictures_;  // in progress: a hash of the request, and so of the image
  std::set<size_t> different_;  // the hashes of the captioned ones, as long as all answers are the same
  SameAnswers same_;
  std::vector<Change> changes_ = {};  // of all requests
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
