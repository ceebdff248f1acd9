// Saves images on a thread of its own: the model draws on while they are compressed and the disk makes them
// durable.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "pixart/formats/image_file.h"

namespace pixart::sample {

class ImageWriter {
 public:
  using Save = std::function<void(int64_t number, const Image& image)>;

  // `save` is called on the thread, for one image after the other, in the order of add(). Throws
  // std::system_error if the thread cannot be started.
  explicit ImageWriter(Save save);
  ~ImageWriter();  // saves what was added, unless saving has failed
  ImageWriter(const ImageWriter&) = delete;
  ImageWriter& operator=(const ImageWriter&) = delete;

  // Waits while several images wait. Throws what saving threw; then no other image is saved.
  void add(int64_t number, Image image);
  // Returns when all images are saved, or throws what saving threw. No image may be added afterwards.
  void finish();

 private:
  struct Waiting {
    int64_t number;
    Image image;
  };
  void loop();
  void end();

  const Save save_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;  // the first one is being saved
  std::exception_ptr failure_;
  bool is_last_added_ = false;
  std::thread thread_;
};

}  // namespace pixart::sample
