#include "compbench_ledger.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kLedgerKind = "pixart compbench answers, 1";
constexpr uint64_t kLargestLedger = uint64_t{1} << 30;

std::string line_of(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

bool is_answer(const ordered_json& json) {
  for (const char* key : {"image", "sha256", "question"})
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) return false;
  return json.contains("answer") && json["answer"].is_number() && std::isfinite(json["answer"].get<double>());
}

[[noreturn]] void refuse(const fs::path& file, const std::string& what) {
  throw UserError(fmt::format("{}: {}. Give another --out, or remove the file.", file.string(), what));
}

}  // namespace

AnswerLedger::AnswerLedger(fs::path file, const std::string& model) : file_(std::move(file)) {
  const ordered_json header = {{"kind", kLedgerKind}, {"model", formats::parse_ordered(model)}};
  const std::string bytes = fs::exists(file_) ? read_file(file_, kLargestLedger) : "";
  const size_t whole = bytes.rfind('\n') == std::string::npos ? 0 : bytes.rfind('\n') + 1;
  int64_t number = 0;
  for (size_t at = 0; at < whole;) {
    const size_t end = bytes.find('\n', at);
    const auto json = formats::parse_ordered_or_discard(std::string_view(bytes).substr(at, end - at));
    at = end + 1;
    if (++number == 1) {
      if (!json.is_object() || json.value("kind", ordered_json()) != kLedgerKind)
        refuse(file_, "it is not a file of answers");
      if (json != header) refuse(file_, "its answers are of another model, or of other settings");
      continue;
    }
    if (!is_answer(json)) refuse(file_, fmt::format("line {} is not an answer", number));
    answers_[{json["image"], json["question"]}] = {json["sha256"], json["answer"]};
  }
  if (number == 0)
    write_file_atomically(file_, line_of(header));
  else if (whole < bytes.size())
    write_file_atomically(file_, std::string_view(bytes).substr(0, whole));
}

const double* AnswerLedger::find(const AskedImage& asked) const {
  const auto found = answers_.find({asked.image, asked.question});
  const bool is_same = found != answers_.end() && found->second.image_sha256 == asked.image_sha256;
  return is_same ? &found->second.value : nullptr;
}

void AnswerLedger::add(const std::vector<AskedImage>& asked, const std::vector<double>& answers) {
  PIXART_CHECK(asked.size() == answers.size());
  std::string lines;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (find(asked[i]) != nullptr) continue;
    lines += line_of({{"image", asked[i].image},
                      {"sha256", asked[i].image_sha256},
                      {"question", asked[i].question},
                      {"answer", answers[i]}});
    answers_[{asked[i].image, asked[i].question}] = {asked[i].image_sha256, answers[i]};
  }
  append_to_file(file_, lines);
}

}  // namespace pixart::score
