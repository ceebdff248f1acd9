#include "image_writer.h"

#include <utility>

namespace pixart::sample {

namespace {

constexpr size_t kMostWaiting = 8;  // images of 3 MB at 1024 pixels

}  // namespace

ImageWriter::ImageWriter(Save save) : save_(std::move(save)), thread_([this] { loop(); }) {}

ImageWriter::~ImageWriter() { end(); }

void ImageWriter::add(int64_t number, Image image) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || waiting_.size() < kMostWaiting; });
  if (failure_) std::rethrow_exception(failure_);
  waiting_.push_back({number, std::move(image)});
  changed_.notify_all();
}

void ImageWriter::finish() {
  end();
  if (failure_) std::rethrow_exception(failure_);
}

void ImageWriter::end() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    is_last_added_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ImageWriter::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return is_last_added_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Waiting& next = waiting_.front();  // add() moves no element of a deque
    lock.unlock();
    std::exception_ptr failure;
    try {
      save_(next.number, next.image);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      waiting_.clear();
    } else {
      waiting_.pop_front();
    }
    changed_.notify_all();
    if (failure) return;
  }
}

}  // namespace pixart::sample
