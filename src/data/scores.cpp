#include "scores.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kMostProblems = 20;
constexpr size_t kMostLimits = 100;  // a verdict is a byte
constexpr uint8_t kNotSeen = 255;
constexpr double kNoWeight = -1;       // of rows that the listing rejects, and that have no score
constexpr double kMostWeight = 1e100;  // so that the sum of all weights is finite

// Sixteen bytes for each row; the key itself is compared in the source.
class RowsByKey {
 public:
  explicit RowsByKey(const Dataset& dataset) : dataset_(dataset) {
    rows_.reserve(size_t(dataset.size()));
    for (int64_t row = 0; row < dataset.size(); ++row)
      rows_.emplace_back(std::hash<std::string>{}(dataset.key(row)), row);
    std::sort(rows_.begin(), rows_.end());
  }
  // The first row with the key; -1: none.
  int64_t find(const std::string& key) const {
    const size_t hash = std::hash<std::string>{}(key);
    auto at = std::lower_bound(rows_.begin(), rows_.end(), std::pair<size_t, int64_t>(hash, 0));
    for (; at != rows_.end() && at->first == hash; ++at)
      if (dataset_.key(at->second) == key) return at->second;
    return -1;
  }

 private:
  const Dataset& dataset_;
  std::vector<std::pair<size_t, int64_t>> rows_;
};

// A number, or a text that is a number (tables hold texts). null and a missing field do not count as a value; others
// throws.
std::optional<double> value_of(const json& fields, const std::string& name) {
  const auto found = fields.find(name);
  if (found == fields.end() || found->is_null()) return std::nullopt;
  double value = 0;
  bool is_number = found->is_number();
  if (is_number) value = found->get<double>();
  if (found->is_string()) {
    const std::string text = trimmed(found->get_ref<const std::string&>());
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    is_number = error == std::errc() && end == text.data() + text.size();
  }
  if (!is_number || !std::isfinite(value))
    throw UserError(fmt::format(
        "'{}' is {}, not a finite number", name,
        *found == "" ? "empty or NaN" : found->dump(-1, ' ', true, json::error_handler_t::replace)));
  return value;
}

std::string key_of(const json& fields, const std::string& name) {
  const auto found = fields.find(name);
  if (found == fields.end()) throw UserError(fmt::format("it has no field '{}' (the key of a row)", name));
  if (found->is_number_integer()) return found->dump();
  if (!found->is_string()) throw UserError(fmt::format("'{}' is not a text", name));
  return found->get<std::string>();
}

class Judge {
 public:
  explicit Judge(const ScoresConfig& config) : config_(config) {
    verdicts_.push_back(
        {Reason::kScoreMissing, fmt::format("{} says nothing about it", config.file.filename().string())});
    for (const auto& limit : config.limits) {
      verdicts_.push_back(
          {Reason::kScoreTooLow, fmt::format("its {} is below {}", limit.name, limit.at_least.value_or(0))});
      verdicts_.push_back(
          {Reason::kScoreTooHigh, fmt::format("its {} is above {}", limit.name, limit.at_most.value_or(0))});
    }
  }

  static constexpr uint8_t kMissing = 1;
  struct Result {
    uint8_t verdict = 0;  // as in RowSelection
    double weight = 1;
  };
  Result judge(const json& fields) const {
    bool lacks = false;
    uint8_t verdict = 0;
    for (size_t i = 0; i < config_.limits.size(); ++i) {
      const auto& limit = config_.limits[i];
      const auto value = value_of(fields, limit.name);
      if (!value)
        lacks = true;
      else if (verdict == 0 && limit.at_least && *value < *limit.at_least)
        verdict = uint8_t(2 + 2 * i);
      else if (verdict == 0 && limit.at_most && *value > *limit.at_most)
        verdict = uint8_t(3 + 2 * i);
    }
    const auto weight = config_.weight_by.empty() ? 1.0 : value_of(fields, config_.weight_by);
    if (weight && (*weight < 0 || *weight > kMostWeight))
      throw UserError(
          fmt::format("'{}' is {}; a weight is from 0 to {}", config_.weight_by, *weight, kMostWeight));
    if (verdict == 0 && (lacks || !weight)) verdict = kMissing;
    return {.verdict = verdict, .weight = weight.value_or(0)};
  }
  const std::vector<Verdict>& verdicts() const { return verdicts_; }

 private:
  const ScoresConfig& config_;
  std::vector<Verdict> verdicts_;
};

class Reading {
 public:
  Reading(const SourceConfig& source, const Dataset& dataset)
      : source_(source),
        config_(source.scores),
        dataset_(dataset),
        judge_(source.scores),
        rows_(dataset),
        verdict_of_(size_t(dataset.size()), kNotSeen),
        weights_(size_t(dataset.size()), 0.0) {
    for (const auto& limit : config_.limits) unseen_.insert(limit.name);
    if (!config_.weight_by.empty()) unseen_.insert(config_.weight_by);
  }

  RowSelection read() {
    read_rows(config_.file, [this](TableRow& row) {
      collect(row);
      return problems_.all().size() < kMostProblems;
    });
    problems_.throw_if_any(
        fmt::format("{} cannot be used as the scores of source {}", config_.file.string(), source_.name));
    if (matched_ == 0) throw UserError(nothing_matches());
    require_fields();
    for (const auto& rejection : dataset_.rejected()) leave_to_listing(size_t(rejection.row));
    for (auto& verdict : verdict_of_)
      if (verdict == kNotSeen) verdict = Judge::kMissing;
    require_or_keep_missing();
    require_some();
    for (size_t row = 0; row < weights_.size(); ++row)
      if (verdict_of_[row] != 0 || weights_[row] == kNoWeight) weights_[row] = 0;
    return {.verdict_of = std::move(verdict_of_),
            .verdicts = judge_.verdicts(),
            .drawn = drawn_rows(weights_),
            .file = config_.file.string(),
            .sha256 = formats::sha256_of_file(config_.file)};
  }
  int64_t strangers() const { return strangers_; }

 private:
  void collect(const TableRow& row) {
    try {
      if (!row.fault.empty()) throw UserError(row.fault);
      take(row.fields);
    } catch (const UserError& error) {
      if (error.code() != ExitCode::kBadInput) throw;
      problems_.add(fmt::format("line {}: {}", row.line, error.what()));
    }
  }

  void take(const json& fields) {
    const std::string key = key_of(fields, config_.key);
    const int64_t row = rows_.find(key);
    if (row < 0) {
      if (strangers_++ == 0) stranger_ = key;
      return;
    }
    ++matched_;
    auto& verdict = verdict_of_[size_t(row)];
    if (verdict != kNotSeen)
      throw UserError(fmt::format("the key {} is on an earlier line, too", printable(key)));
    note_fields(fields);
    const auto result = judge_.judge(fields);
    verdict = result.verdict;
    weights_[size_t(row)] = result.weight;
    // `pixart data score` says so about samples that it could not read.
    if (verdict == Judge::kMissing && fields.contains("rejected")) unreadable_.insert(row);
  }

  void note_fields(const json& fields) {
    if (unseen_.empty()) return;
    std::erase_if(unseen_, [&](const std::string& name) { return fields.contains(name); });
    if (!names_.empty() || fields.contains("rejected")) return;
    for (const auto& [name, value] : fields.items()) names_.push_back(name);
  }

  // A misspelt field would be missing in all rows; with `missing: keep` it would have no effect.
  void require_fields() const {
    if (unseen_.empty()) return;
    const std::vector<std::string> unseen(unseen_.begin(), unseen_.end());
    throw UserError(fmt::format("source {}: no line of {} about a row of the source has the field {}; {}.{}",
                                source_.name, config_.file.string(), name_some(unseen),
                                names_.empty() ? "none has scores" : "there are " + name_some(names_),
                                did_you_mean(unseen.front(), names_)));
  }

  // A row that the listing rejects needs no score: its own reason counts.
  void leave_to_listing(size_t row) {
    if (verdict_of_[row] != kNotSeen && verdict_of_[row] != Judge::kMissing) return;
    verdict_of_[row] = 0;
    weights_[row] = kNoWeight;
  }

  void require_or_keep_missing() {
    if (config_.missing == MissingScore::kReject) return;
    if (config_.missing == MissingScore::kError) return require_all();
    double sum = 0;
    int64_t known = 0;
    for (size_t row = 0; row < weights_.size(); ++row)
      if (verdict_of_[row] == 0 && weights_[row] != kNoWeight) sum += weights_[row], ++known;
    for (size_t row = 0; row < weights_.size(); ++row)
      if (is_forgotten(row)) verdict_of_[row] = 0, weights_[row] = known == 0 ? 1 : sum / double(known);
  }

  // Not scored, although nothing says that it cannot be.
  bool is_forgotten(size_t row) const {
    return verdict_of_[row] == Judge::kMissing && unreadable_.count(int64_t(row)) == 0;
  }

  void require_all() const {
    std::vector<std::string> missing;
    for (size_t row = 0; row < weights_.size(); ++row)
      if (is_forgotten(row))
        missing.push_back(missing.size() < kMostProblems ? dataset_.key(int64_t(row)) : std::string());
    if (missing.empty()) return;
    throw UserError(fmt::format(
        "source {}: {} has no value for {} of {} rows: {}. Score them (pixart data score), or set scores.missing "
        "to reject or keep.",
        source_.name, config_.file.string(), missing.size(), dataset_.size(), name_some(missing)));
  }

  void require_some() const {
    std::map<std::string_view, int64_t> counts;
    for (size_t row = 0; row < weights_.size(); ++row) {
      if (verdict_of_[row] == 0 && weights_[row] > 0) return;
      ++counts[verdict_of_[row] != 0 ? to_string(judge_.verdicts()[size_t(verdict_of_[row]) - 1].reason)
               : weights_[row] == kNoWeight ? "cannot be used"
                                            : "without weight"];
    }
    std::vector<std::string> parts;
    for (const auto& [reason, count] : counts)
      parts.push_back(fmt::format("{} {}", with_thousands(count), reason));
    throw UserError(fmt::format("source {}: the scores of {} keep none of {} rows: {}.", source_.name,
                                config_.file.string(), with_thousands(dataset_.size()), join(parts, ", ")));
  }

  std::string nothing_matches() const {
    return fmt::format(
        "source {}: no line of {} names a row of the source. The first key there is {}, and the first "
        "of the source is {}.",
        source_.name, config_.file.string(), strangers_ == 0 ? "missing" : printable(stranger_),
        printable(dataset_.key(0)));
  }

  const SourceConfig& source_;
  const ScoresConfig& config_;
  const Dataset& dataset_;
  const Judge judge_;
  const RowsByKey rows_;
  std::vector<uint8_t> verdict_of_;
  std::vector<double> weights_;
  std::set<int64_t> unreadable_;
  std::set<std::string> unseen_;    // fields of limits and weight_by that no line had so far
  std::vector<std::string> names_;  // the fields of a line, for the message about them
  int64_t matched_ = 0, strangers_ = 0;
  std::string stranger_;
  Problems problems_;
};

}  // namespace

void ScoreLimit::validate(std::vector<std::string>& problems) const {
  if (!at_least && !at_most) problems.push_back(fmt::format("{} has neither at_least nor at_most", name));
  for (const auto& limit : {at_least, at_most})
    if (limit && !std::isfinite(*limit))
      problems.push_back(fmt::format("{}: {} is not finite", name, *limit));
  if (at_least && at_most && *at_least > *at_most)
    problems.push_back(fmt::format("{}: at_least is above at_most, so no row is kept", name));
}

void ScoresConfig::validate(std::vector<std::string>& problems) const {
  const bool is_used = !limits.empty() || !weight_by.empty();
  if (file.empty() && is_used) problems.push_back("file is missing: the file of the scores");
  if (!file.empty() && !is_used)
    problems.push_back("limits and weight_by are both empty, so file has no effect");
  if (limits.size() > kMostLimits)
    problems.push_back(fmt::format("limits: {} are more than {}", limits.size(), kMostLimits));
  std::set<std::string> names;
  for (const auto& limit : limits)
    if (!names.insert(limit.name).second)
      problems.push_back(fmt::format("limits: {} is named twice", limit.name));
}

std::shared_ptr<const RowSelection> read_scores(const SourceConfig& config, const Dataset& dataset) {
  std::error_code error;
  if (!fs::is_regular_file(config.scores.file, error))
    throw UserError(fmt::format("source {}: {} (scores.file) is not a file; pixart data score writes one.",
                                config.name, config.scores.file.string()));
  Reading reading(config, dataset);
  auto selection = std::make_shared<const RowSelection>(reading.read());
  log::info("source {}: the scores of {} keep {} of {} rows{}", config.name, selection->file,
            with_thousands(selection->drawn.per_pass), with_thousands(dataset.size()),
            reading.strangers() == 0
                ? ""
                : fmt::format("; {} lines name no row of it", with_thousands(reading.strangers())));
  return selection;
}

}  // namespace pixart::data
