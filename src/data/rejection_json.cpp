#include "rejection_json.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

Reason reason_named(const std::string& name) {
  for (const Reason reason : all_reasons())
    if (to_string(reason) == name) return reason;
  throw UserError(fmt::format("unknown reason '{}': these features were made by a newer version.", name));
}

}  // namespace

std::string rejections_text(const std::vector<Rejection>& rejected) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& rejection : rejected)
    json.push_back(
        {rejection.row, rejection.key, rejection.offset, to_string(rejection.reason), rejection.detail});
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::vector<Rejection> parse_rejections(const std::string& text) {
  std::vector<Rejection> rejected;
  for (const auto& entry : nlohmann::json::parse(text))
    rejected.push_back({.row = entry.at(0),
                        .key = entry.at(1),
                        .offset = entry.at(2),
                        .reason = reason_named(entry.at(3)),
                        .detail = entry.at(4)});
  return rejected;
}

}  // namespace pixart::data
