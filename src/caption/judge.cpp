#include "pixart/caption/judge.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "exchange.h"
#include "job_folder.h"
#include "judge_compbench.h"
#include "judge_files.h"
#include "judge_setup.h"
#include "pixart/base/env.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/data/dataset.h"
#include "pixart/data/recognise.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

constexpr int kSentQuality = 95;

// One request: a sample of a question, or the opening of its image.
struct Ask {
  size_t question = 0;
  int64_t sample = 0;
  bool is_opening = false;
};

// An ask that is ready to be sent, or the reason why it is not.
struct PreparedQuestion {
  int64_t number = 0;
  std::string body = {};
  std::optional<data::Rejection> rejection = std::nullopt;
};

class Judging {
 public:
  explicit Judging(JudgeOptions options)
      : options_(checked(std::move(options))),
        client_(client_of(options_.client, options_.endpoint, options_.insecure)),
        dataset_(data::open_image_set(options_.images)),
        keys_(keys_of(*dataset_)),
        set_(questions_for(options_, *dataset_)),
        form_(set_.has_scores         ? AnswerForm::kScore
              : options_.samples == 0 ? AnswerForm::kProbability
                                      : AnswerForm::kYesNo),
        questions_sha256_(hash_of(set_, keys_)),
        chat_(chat_of()),
        lock_(lock_job_folder(options_.out, {kAnswers, kSummary, kPage}, "judge")),
        store_(options_.out / kJobs, settings()),
        exchange_(client_, options_.model, chat_.temperature, store_) {
    for (const auto& rejection : dataset_->rejected())
      if (!data::concerns_caption(rejection.reason)) unusable_.emplace(rejection.row, rejection);
    if (options_.retry_rejected) store_.forget_rejected();
  }

  JudgeReport run() {
    auto report = send_and_write([this] { send(); }, [this] { return write(); });
    report.is_stopped = stop_requested();
    return report;
  }

 private:
  ChatOptions chat_of() const {
    constexpr int64_t kShort = 8, kLong = 512, kTopLogprobs = 20;
    constexpr double kScoreTemperature = 0.2, kScoreTopP = 0.7;  // T2I-CompBench's program
    ChatOptions chat{.model = options_.model};
    const bool is_short = form_ == AnswerForm::kProbability;
    chat.max_tokens = options_.max_tokens > 0 ? options_.max_tokens : is_short ? kShort : kLong;
    chat.temperature = options_.temperature.value_or(form_ == AnswerForm::kScore   ? kScoreTemperature
                                                     : form_ == AnswerForm::kYesNo ? 1.0
                                                                                   : 0.0);
    if (form_ == AnswerForm::kScore) chat.top_p = kScoreTopP;
    if (is_short) chat.top_logprobs = kTopLogprobs;
    return chat;
  }

  std::map<std::string, std::string> settings() const {
    return {{"protocol", word_of(options_.protocol)},
            {"model", options_.model},
            {"instruction", options_.instruction},
            {"samples", std::to_string(options_.samples)},
            {"temperature", fmt::format("{}", chat_.temperature)},
            {"max_tokens", std::to_string(chat_.max_tokens)},
            {"parts", std::to_string(options_.parts)},
            {"longest side", std::to_string(options_.longest_side)},
            {"questions (as a hash)", questions_sha256_},
            {"images (their list, as a hash)", dataset_->fingerprint()}};
  }

  std::string key_of(const Ask& ask) const {
    const Question& own = set_.questions[ask.question];
    const json key = {keys_[size_t(own.row)], own.part, ask.is_opening ? "opening" : "question " + own.id,
                      ask.sample};
    return key.dump(-1, ' ', false, json::error_handler_t::replace);
  }

  Scale scale_of(const Question& question) const {
    if (!set_.has_scores) return {};
    const auto part = enum_of_word<CompBenchPart>(question.category, "part");
    return has_attributes(part) ? set_.attribute_scale : set_.scale;
  }

  // The files with questions that are asked in this call.
  std::set<int64_t> rows_of_call() const {
    std::set<int64_t> rows;
    for (size_t i = 0; i < set_.questions.size(); ++i) {
      const int64_t row = set_.questions[i].row;
      if (unusable_.count(row) > 0 || rows.count(row) > 0) continue;
      if (options_.limit > 0 && int64_t(rows.size()) >= options_.limit) break;
      if (is_open(i)) rows.insert(row);
    }
    return rows;
  }

  bool is_open(size_t i) const {
    const auto opening = store_.find(key_of({i, 0, true}));
    if (opening && !opening->reason.empty()) return false;  // it cannot be asked
    for (int64_t sample = 0; sample < num_samples(); ++sample)
      if (!store_.find(key_of({i, sample, false}))) return true;
    return false;
  }

  int64_t num_samples() const { return std::max<int64_t>(1, options_.samples); }

  void send() {
    const std::set<int64_t> rows = rows_of_call();
    std::set<std::pair<int64_t, int>> opened;
    std::vector<Ask> openings, asks;
    for (size_t i = 0; i < set_.questions.size(); ++i) {
      const Question& own = set_.questions[i];
      if (rows.count(own.row) == 0) continue;
      if (!own.opening.empty() && opened.insert({own.row, own.part}).second) openings.push_back({i, 0, true});
      for (int64_t sample = 0; sample < num_samples(); ++sample) asks.push_back({i, sample, false});
    }
    send_asks("describe", openings);
    std::erase_if(asks, [&](const Ask& ask) {
      return !set_.questions[ask.question].opening.empty() && !description_of(ask);
    });
    send_asks("judge", asks);
  }

  // What the model wrote about the image of a question; empty without such an answer.
  std::optional<std::string> description_of(const Ask& ask) const {
    const auto found = store_.find(key_of({ask.question, 0, true}));
    if (!found || !found->reason.empty()) return std::nullopt;
    return answer_record(found->text).text;
  }

  void send_asks(const std::string& what, std::vector<Ask> asks) {
    std::erase_if(asks, [&](const Ask& ask) { return store_.find(key_of(ask)).has_value(); });
    if (asks.empty() || stop_requested()) return;
    descriptions_.assign(asks.size(), {});
    for (size_t i = 0; i < asks.size(); ++i)
      if (!asks[i].is_opening && !set_.questions[asks[i].question].opening.empty())
        descriptions_[i] = description_of(asks[i]).value_or("");
    asks_ = std::move(asks);
    Progress progress(what + " " + options_.images.filename().string(), int64_t(asks_.size()), "question");
    int64_t done = 0, next = 0;
    Prefetch<int64_t, PreparedQuestion> ready(
        physical_cores(), 2 * client_.in_flight,
        [&]() -> std::optional<int64_t> {
          return next < int64_t(asks_.size()) ? std::optional(next++) : std::nullopt;
        },
        [this](int64_t number) { return prepare(number); });
    exchange_.send({.next = [&]() -> std::optional<Request> {
                      while (!stop_requested()) {
                        auto ask = ready.next();
                        if (!ask) break;
                        if (!ask->rejection) return Request{ask->number, std::move(ask->body)};
                        reject(*ask);
                        progress.update(++done);
                      }
                      return std::nullopt;
                    },
                    .key = [this](int64_t number) { return key_of(asks_[size_t(number)]); },
                    .read = [this](int64_t number, const std::string& body) { return read(number, body); },
                    .finished = [&](int64_t, const Result&, bool) { progress.update(++done); }});
  }

  void reject(const PreparedQuestion& ask) {
    store_.put({.key = key_of(asks_[size_t(ask.number)]),
                .text = {},
                .reason = std::string(to_string(ask.rejection->reason)),
                .detail = ask.rejection->detail,
                .model = {}});
  }

  Answer read(int64_t number, const std::string& body) const {
    const Ask& ask = asks_[size_t(number)];
    if (ask.is_opening) return read_judgement(AnswerForm::kDescription, body);
    return read_judgement(form_, body, scale_of(set_.questions[ask.question]));
  }

  std::vector<std::string> turns_of(int64_t number) const {
    const Ask& ask = asks_[size_t(number)];
    const Question& own = set_.questions[ask.question];
    if (ask.is_opening) return {own.opening};
    if (!own.opening.empty()) return {own.opening, descriptions_[size_t(number)], own.text};
    std::map<std::string, std::string> values = {{"question", own.text}};
    if (options_.protocol == JudgeProtocol::kPrompt) values["prompt"] = own.group;
    return {filled(options_.instruction, values)};
  }

  std::string jpeg_of(int64_t row, int part, const SentImage& form) const {
    const Image image = dataset_->image(row);
    std::string jpeg;
    dataset_->on_sample(row, [&] { jpeg = image_to_send(part_of(image, part, options_.parts), form); });
    return jpeg;
  }

  // Called from several threads.
  PreparedQuestion prepare(int64_t number) const {
    const Ask& ask = asks_[size_t(number)];
    const Question& own = set_.questions[ask.question];
    try {
      const std::string jpeg = jpeg_of(
          own.row, own.part,
          {.shorter = options_.longest_side, .longer = options_.longest_side, .quality = kSentQuality});
      ChatOptions chat = chat_;
      if (options_.samples > 0) chat.seed = ask.sample;
      return {.number = number, .body = request_body(chat, turns_of(number), jpeg)};
    } catch (const data::BadSample& bad) {
      return {.number = number, .rejection = bad.rejection()};
    }
  }

  // --- what came

  Verdict verdict_of(size_t i, std::vector<Result>& answers) const {
    const Question& own = set_.questions[i];
    if (const auto found = unusable_.find(own.row); found != unusable_.end())
      return {.state = VerdictState::kUnanswered,
              .reason = std::string(to_string(found->second.reason)),
              .detail = found->second.detail};
    if (!own.opening.empty()) {
      const auto opening = store_.find(key_of({i, 0, true}));
      if (!opening) return {};
      if (!opening->reason.empty())
        return {.state = VerdictState::kUnanswered,
                .reason = opening->reason,
                .detail = "the description failed: " + opening->detail};
    }
    for (int64_t sample = 0; sample < num_samples(); ++sample)
      if (auto answer = store_.find(key_of({i, sample, false}))) answers.push_back(std::move(*answer));
    if (int64_t(answers.size()) < num_samples()) return {};
    return joined(answers, scale_of(own));
  }

  // Unclear samples count neither as yes nor as no; if all are unclear, the question is unanswered.
  Verdict joined(const std::vector<Result>& answers, const Scale& scale) const {
    Verdict verdict{.state = VerdictState::kUnanswered};
    double sum = 0;
    int64_t clear = 0;
    for (const auto& answer : answers) {
      const Judgement own = answer.reason.empty() ? judged(form_, answer_record(answer.text), scale)
                                                  : Judgement{.fault = AnswerFault::kError};
      if (own.fault != AnswerFault::kNone) {
        verdict.reason = answer.reason.empty() ? to_string(own.fault) : answer.reason;
        verdict.detail = answer.reason.empty() ? own.detail : answer.detail;
        continue;
      }
      ++clear;
      sum += own.value;
      verdict.label = own.label;
      verdict.mass = own.mass;
    }
    if (clear == 0) return verdict;
    verdict.state = VerdictState::kAnswered;
    verdict.reason = verdict.detail = "";
    verdict.value = sum / double(clear);
    if (form_ == AnswerForm::kYesNo) verdict.label = verdict.is_yes() ? "yes" : "no";
    return verdict;
  }

  JudgeReport write() {
    Judged judged{.options = options_, .set = set_, .keys = keys_};
    std::set<std::string> models;
    for (size_t i = 0; i < set_.questions.size(); ++i) {
      auto& answers = judged.answers.emplace_back();
      judged.verdicts.push_back(verdict_of(i, answers));
      for (const auto& answer : answers)
        if (answer.reason.empty()) models.insert(answer.model);
    }
    judged.models.assign(models.begin(), models.end());
    judged.questions_sha256 = questions_sha256_;
    judged.images_fingerprint = dataset_->fingerprint();
    judged.temperature = chat_.temperature;
    judged.max_tokens = chat_.max_tokens;
    judged.top_p = chat_.top_p;
    const JudgeReport report = report_of(judged);
    write_judged(judged, report, [this](int64_t row, int part) { return thumbnail(row, part); });
    return report;
  }

  std::string thumbnail(int64_t row, int part) const {
    constexpr int kSide = 256;
    if (unusable_.count(row) > 0) return {};
    try {
      return jpeg_of(row, part, {.shorter = kSide, .longer = kSide, .quality = 80});
    } catch (const data::BadSample&) {
      return {};
    }
  }

  const JudgeOptions options_;
  const ClientOptions client_;
  const std::unique_ptr<data::Dataset> dataset_;
  const std::vector<std::string> keys_;
  const QuestionSet set_;
  const AnswerForm form_;
  const std::string questions_sha256_;
  const ChatOptions chat_;
  FileLock lock_;
  JobStore store_;
  Exchange exchange_;
  std::map<int64_t, data::Rejection> unusable_ = {};
  std::vector<Ask> asks_ = {};                  // of the requests that are sent now
  std::vector<std::string> descriptions_ = {};  // of each, what the model wrote first
};

}  // namespace

JudgeReport judge(const JudgeOptions& options) { return Judging(options).run(); }

}  // namespace pixart::caption
