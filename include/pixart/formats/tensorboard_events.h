// TensorBoard's event files, written without TensorFlow or protobuf.
//
// A file is a row of TFRecords (length, masked CRC32C of the length, bytes, masked CRC32C of the bytes), each
// one message Event of tensorflow/core/util/event.proto. It is called
// events.out.tfevents.<seconds>.<host>.<process>.0; TensorBoard reads the files of one folder in the order of
// their names, as one run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "pixart/base/file.h"

namespace pixart::formats {

// A new file; older ones of the folder are never touched, since the end of one may be torn by a crash. Each
// call writes one record at once. After an error the file must not be written any more. For one thread.
class TensorBoardEvents {
 public:
  // Makes the folder. The file's name comes after those that are there, whatever the clock says. Throws
  // UserError(kStorage), as everything here does.
  explicit TensorBoardEvents(const std::filesystem::path& folder);

  // TensorBoard forgets what earlier files hold of `step` and later steps.
  void restart_at(int64_t step);

  // Numbers by tag, e.g. {"train/loss", 0.31}; kept as float32. A part before a slash groups the tags.
  void scalars(int64_t step, const std::map<std::string, double>& values);

  // Throws UserError if these are not the bytes of a PNG file.
  void image(int64_t step, const std::string& tag, std::string_view png);

  // Markdown, in UTF-8; other bytes are replaced.
  void text(int64_t step, const std::string& tag, std::string_view markdown);

  void sync() { file_.sync(); }  // what was written survives a power cut
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  OutputFile file_;
};

}  // namespace pixart::formats
