// What was made for the last two numbers.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace pixart::data {

// Several threads may use it; while one makes a value, the others wait.
template <class T>
class Recent {
 public:
  // `make` takes the number, which is not negative, and returns a T.
  template <class Make>
  std::shared_ptr<const T> get(int64_t number, const Make& make) {
    const std::scoped_lock lock(mutex_);
    for (const auto& [known, value] : kept_)
      if (known == number) return value;
    auto& oldest = kept_[kept_[0].first < kept_[1].first ? 0 : 1];
    oldest = {number, std::make_shared<const T>(make(number))};
    return oldest.second;
  }

 private:
  std::mutex mutex_;
  std::pair<int64_t, std::shared_ptr<const T>> kept_[2] = {{-1, nullptr}, {-1, nullptr}};
};

}  // namespace pixart::data
