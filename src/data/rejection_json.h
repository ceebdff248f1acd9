// Converts the rejections in shards to JSON and back.
#pragma once
#include <string>
#include <vector>

#include "pixart/data/rejection.h"

namespace pixart::data {

std::string rejections_text(const std::vector<Rejection>& rejected);
std::vector<Rejection> parse_rejections(const std::string& text);  // inverse of rejections_text()

}  // namespace pixart::data
