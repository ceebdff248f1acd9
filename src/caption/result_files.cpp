#include "result_files.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"

namespace pixart::caption {
using nlohmann::ordered_json;

namespace {

void write_line(AtomicFile& file, const ordered_json& line) {
  file.write(line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream stream(list);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

std::string counts_of(const std::map<std::string, int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(with_thousands(count) + " " + name);
  return parts.empty() ? "" : ": " + join(parts, ", ");
}

}  // namespace

CaptionReport write_results(const std::filesystem::path& folder, const data::Dataset& dataset,
                            const std::map<int64_t, data::Rejection>& unusable, const JobStore& store,
                            const std::string& prompt_sha256) {
  CaptionReport report{.listed = dataset.size(), .by_reason = {}, .cleaned = {}};
  AtomicFile captions(folder / kCaptions), rejected(folder / kRejected);
  const auto reject = [&](const std::string& key, std::string_view reason, const std::string& detail,
                          int64_t attempts) {
    ++report.rejected;
    ++report.by_reason[std::string(reason)];
    write_line(rejected, {{"key", key}, {"reason", reason}, {"detail", detail}, {"attempts", attempts}});
  };
  for (int64_t row = 0; row < dataset.size(); ++row) {
    if (const auto known = unusable.find(row); known != unusable.end()) {
      reject(known->second.key, to_string(known->second.reason), known->second.detail, 0);
      continue;
    }
    if (const auto left_out = dataset.left_out(row)) {
      reject(left_out->key, to_string(left_out->reason), left_out->detail, 0);
      continue;
    }
    const auto result = store.find(dataset.key(row));
    if (!result) {
      ++report.open;
      continue;
    }
    report.prompt_tokens += result->prompt_tokens;
    report.completion_tokens += result->completion_tokens;
    if (!result->reason.empty()) {
      reject(result->key, result->reason, result->detail, result->attempts);
      continue;
    }
    ++report.captioned;
    ordered_json line = {{"key", result->key},
                         {"caption", result->text},
                         {"model", result->model},
                         {"prompt_sha256", prompt_sha256},
                         {"prompt_tokens", result->prompt_tokens},
                         {"completion_tokens", result->completion_tokens}};
    for (const auto& what : words_of(result->detail)) {
      ++report.cleaned[what];
      line["cleaned"].push_back(what);
    }
    write_line(captions, line);
  }
  captions.commit();
  rejected.commit();
  PIXART_CHECK(report.captioned + report.rejected + report.open == report.listed);
  return report;
}

std::string describe(const CaptionReport& report) {
  return fmt::format("{} of {} images captioned; {} rejected{}; {} open", with_thousands(report.captioned),
                     with_thousands(report.listed), with_thousands(report.rejected),
                     counts_of(report.by_reason), with_thousands(report.open));
}

std::string describe_cleaned(const CaptionReport& report) {
  return report.cleaned.empty() ? "" : "removed from answers" + counts_of(report.cleaned);
}

}  // namespace pixart::caption
