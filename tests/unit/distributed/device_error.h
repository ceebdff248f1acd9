// The message of a UserError(kDevice).
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "pixart/base/error.h"

namespace pixart::distributed {

// Of the error that `work` throws; "" if it throws none.
inline std::string device_error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kDevice);
    return error.what();
  }
  return "";
}

}  // namespace pixart::distributed
