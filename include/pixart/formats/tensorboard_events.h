// TensorBoard's event files, written without TensorFlow or protobuf.
//
// A file is a sequence of TFRecords (length, masked CRC32C of the length, bytes, masked CRC32C of the bytes).
// Each is one message Event of tensorflow/core/util/event.proto. The file is called
// events.out.tfevents.<seconds>.<host>.<process>.0; TensorBoard reads the files of a folder in the order of
// their names, as one run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "pixart/base/file.h"

namespace pixart::formats {

// A new file. Older files in the folder are never changed, because a crash may have cut off their ends. Each
// call writes one record at once. After an error, do not write to the file. For one thread.
class TensorBoardEvents {
 public:
  // Creates the folder if needed. The new file's name sorts after the existing ones, whatever the clock says.
  // Throws UserError(kStorage), like every function here.
  explicit TensorBoardEvents(const std::filesystem::path& folder);

  // Makes TensorBoard forget the values of `step` and later steps in earlier files.
  void restart_at(int64_t step);

  // Values by tag, e.g. {"train/loss", 0.31}; stored as float32. The part before a slash groups tags.
  void scalars(int64_t step, const std::map<std::string, double>& values);

  // Throws UserError if the bytes are not a PNG file.
  void image(int64_t step, const std::string& tag, std::string_view png);

  // Markdown, in UTF-8; invalid bytes are replaced.
  void text(int64_t step, const std::string& tag, std::string_view markdown);

  void sync() { file_.sync(); }  // written records then survive a power cut
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  OutputFile file_;
};

}  // namespace pixart::formats
