// The page that people fill in.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/base/html.h"

namespace pixart::study {

// The whole page, with the plan in it: a page that was opened from a disk can read no other file.
std::string study_page(const nlohmann::ordered_json& plan);

PageScript page_script(const std::string& post);  // of that page

}  // namespace pixart::study
