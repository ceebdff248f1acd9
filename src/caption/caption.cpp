#include "pixart/caption/caption.h"

#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/log.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/caption/chat.h"
#include "pixart/caption/job_store.h"
#include "pixart/caption/prompt.h"
#include "pixart/formats/hash.h"

namespace pixart::caption {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

std::string request_url(const std::string& endpoint) {
  constexpr std::string_view kPath = "/chat/completions";
  std::string url = endpoint;
  while (url.ends_with('/')) url.pop_back();
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    throw UserError(fmt::format(
        "--endpoint {}: the address begins with http:// or https://, e.g. http://localhost:8080/v1.",
        endpoint));
  if (url.find('@') != std::string::npos)
    throw UserError(
        "--endpoint: no user or key in the address; the key is taken from the variable that --key-env "
        "names.");
  return url.ends_with(kPath) ? url : url + std::string(kPath);
}

bool is_this_machine(const std::string& url) {
  const size_t begin = url.find("://") + 3;
  const std::string host = url.substr(begin, url.find_first_of(":/", begin) - begin);
  return host == "localhost" || host == "127.0.0.1" || url.substr(begin).starts_with("[::1]");
}

class Captioning {
 public:
  Captioning(const data::SourceConfig& source, const data::Dataset& dataset, const CaptionOptions& options)
      : dataset_(dataset),
        options_(options),
        prompt_(!options.prompt.empty() ? options.prompt
                : options.with_caption  ? paper_prompt_with_caption()
                                        : paper_prompt()),
        prompt_sha256_(formats::sha256(prompt_)),
        client_(options.client),
        lock_(locked_folder(options.out)),
        store_(options.out / "jobs.sqlite", {{"model", options.model},
                                             {"prompt_sha256", prompt_sha256_},
                                             {"max_tokens", std::to_string(options.max_tokens)},
                                             {"temperature", fmt::format("{}", options.temperature)}}) {
    client_.url = request_url(options.endpoint);
    if (!client_.key.empty() && client_.url.starts_with("http://") && !is_this_machine(client_.url) &&
        !options.insecure)
      throw UserError(
          fmt::format("--endpoint {}: a key would go over http to another machine, readable on the way; use "
                      "https, or --insecure.",
                      options.endpoint));
    for (const auto& rejection : dataset.rejected())
      if (!data::concerns_caption(rejection.reason)) unusable_.emplace(rejection.row, rejection);
    if (options.retry_rejected) store_.forget_rejected();
    name_ = source.name;
  }

  CaptionReport run() {
    list_open();
    Progress progress("caption " + name_, int64_t(open_.size()), "picture");
    progress_ = &progress;
    size_t next = 0;
    // Pictures are decoded, reduced and encoded ahead of being sent.
    Prefetch<int64_t, std::optional<Request>> requests(
        physical_cores(), 2 * client_.in_flight,
        [&]() -> std::optional<int64_t> {
          return next < open_.size() ? std::optional(open_[next++]) : std::nullopt;
        },
        [this](int64_t row) { return make_request(row); });
    const ClientCalls calls{.next = [&] { return next_request(requests); },
                            .done = [this](int64_t row, const Reply& reply) { return take(row, reply); },
                            .stop = stop_requested};
    try {
      send_all(client_, calls);
    } catch (const UserError&) {
      write_results();
      throw;
    }
    return write_results();
  }

 private:
  static FileLock locked_folder(const fs::path& folder) {
    create_folders(folder);
    auto lock = FileLock::try_lock(folder / ".lock");
    if (!lock)
      throw UserError(fmt::format("another process writes captions into {}.", folder.string()),
                      ExitCode::kFolderOwned);
    return std::move(*lock);
  }

  std::string key_of(int64_t row) const { return dataset_.row(row).key; }

  void list_open() {
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      if (options_.limit > 0 && int64_t(open_.size()) >= options_.limit) return;
      if (unusable_.count(row) == 0 && !store_.find(key_of(row))) open_.push_back(row);
    }
  }

  // Nothing where the picture cannot be used. Called from several threads.
  std::optional<Request> make_request(int64_t row) const {
    std::string jpeg;
    try {
      jpeg = picture_to_send(dataset_.picture(row));
    } catch (const data::BadSample& bad) {
      return Request{.number = -row - 1, .body = bad.what()};
    }
    return Request{
        .number = row,
        .body = request_body(
            {.model = options_.model, .max_tokens = options_.max_tokens, .temperature = options_.temperature},
            fill_prompt(prompt_, dataset_.caption(row)), jpeg)};
  }

  std::optional<Request> next_request(Prefetch<int64_t, std::optional<Request>>& requests) {
    while (auto request = requests.next()) {
      if ((*request)->number >= 0) return *request;
      reject(-(*request)->number - 1, AnswerFault::kBadPicture, (*request)->body, 0);
      advance();
    }
    return std::nullopt;
  }

  void reject(int64_t row, AnswerFault fault, const std::string& detail, int64_t attempts) {
    Result result{.key = key_of(row), .answer = {}, .attempts = attempts};
    result.answer.fault = fault;
    result.answer.detail = detail;
    store_.put(result);
  }

  // True: ask again.
  bool take(int64_t row, const Reply& reply) {
    Answer answer;
    if (reply.status == 200) {
      answer = parse_answer(reply.body);
    } else if (reply.status == 0 || reply.status == 408 || reply.status == 425 || reply.status == 429 ||
               reply.status >= 500) {
      answer.fault = AnswerFault::kNoAnswer;
      answer.detail = reply.status == 0 ? reply.fault : fmt::format("HTTP {}", reply.status);
    } else {
      answer.fault = AnswerFault::kError;
      answer.detail = fmt::format("HTTP {} {}", reply.status, error_message(reply.body));
    }
    // A model that is asked again may do better, once.
    const bool may_improve = reply.status == 200 && answer.fault != AnswerFault::kNone;
    if (may_improve && asked_again_.insert(row).second && reply.attempts <= client_.retries) return true;
    store_.put({.key = key_of(row), .answer = answer, .attempts = reply.attempts});
    tokens_ += answer.completion_tokens;
    advance();
    return false;
  }

  void advance() {
    ++done_;
    const double seconds = monotonic_seconds() - begun_;
    progress_->update(done_, seconds > 0 ? fmt::format("{:.0f} tokens/s", double(tokens_) / seconds) : "");
  }

  CaptionReport write_results() {
    CaptionReport report{.listed = dataset_.size()};
    AtomicFile captions(options_.out / "captions.jsonl"), rejected(options_.out / "rejected.jsonl");
    const auto write = [](AtomicFile& file, const ordered_json& line) {
      file.write(line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    };
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      if (const auto known = unusable_.find(row); known != unusable_.end()) {
        ++report.rejected;
        write(rejected, {{"key", known->second.key},
                         {"reason", to_string(AnswerFault::kBadPicture)},
                         {"detail", known->second.detail},
                         {"attempts", 0}});
        continue;
      }
      const auto result = store_.find(key_of(row));
      if (!result) {
        ++report.open;
        continue;
      }
      const auto& answer = result->answer;
      report.prompt_tokens += answer.prompt_tokens;
      report.completion_tokens += answer.completion_tokens;
      if (answer.fault == AnswerFault::kNone) {
        ++report.captioned;
        write(captions, {{"key", result->key},
                         {"caption", answer.caption},
                         {"model", answer.model.empty() ? options_.model : answer.model},
                         {"prompt_sha256", prompt_sha256_},
                         {"prompt_tokens", answer.prompt_tokens},
                         {"completion_tokens", answer.completion_tokens}});
      } else {
        ++report.rejected;
        write(rejected, {{"key", result->key},
                         {"reason", to_string(answer.fault)},
                         {"detail", answer.detail},
                         {"attempts", result->attempts}});
      }
    }
    captions.commit();
    rejected.commit();
    PIXART_CHECK(report.captioned + report.rejected + report.open == report.listed);
    return report;
  }

  const data::Dataset& dataset_;
  const CaptionOptions& options_;
  std::string name_, prompt_, prompt_sha256_;
  ClientOptions client_;
  FileLock lock_;
  JobStore store_;
  std::map<int64_t, data::Rejection> unusable_;  // by the listing; a duplicate has the key of a good one
  std::vector<int64_t> open_;
  std::set<int64_t> asked_again_;
  Progress* progress_ = nullptr;
  int64_t done_ = 0, tokens_ = 0;
  double begun_ = monotonic_seconds();
};

}  // namespace

CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options) {
  return Captioning(source, dataset, options).run();
}

}  // namespace pixart::caption
