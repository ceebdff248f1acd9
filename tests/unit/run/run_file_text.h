// Texts of run files, and what is wrong with them.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::run {

inline const std::string kGood = R"(run: r
transformer: {preset: XL/2}
sources: [{name: a, type: scenes}]
stages:
  - {name: one, objective: class_conditional, source: a, steps: 5}
  - {name: two, objective: text_conditional, source: a, steps: 5, init: {how: reparameterize, from: one}}
)";

inline std::string replace(std::string text, const std::string& from, const std::string& to) {
  const auto found = text.find(from);
  EXPECT_NE(found, std::string::npos) << from;
  return text.replace(found, from.size(), to);
}

inline std::string error_of(const std::string& yaml) {
  try {
    config::read_text<RunConfig>(yaml, "run.yaml");
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

}  // namespace pixart::run
