// A data set of an index, in memory or mapped from a file.
#include <mutex>
#include <optional>

#include "caption_places.h"
#include "pixart/base/error.h"
#include "placed_rows.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

namespace {

class RecordDataset : public Dataset {
 public:
  RecordDataset(SourceIndex index, IndexNotes notes, std::shared_ptr<const PlacedRows> rows)
      : index_(std::move(index)),
        rows_(std::move(rows)),
        texts_(index_, rows_.get()),
        notes_(std::move(notes)) {}
  int64_t size() const override { return index_.size(); }
  Row row(int64_t index) const override {
    Row result = outline(index);
    if (result.captions.empty()) return result;
    auto texts = texts_of(index);
    for (size_t i = 0; i < texts.size(); ++i) result.captions[i].text = std::move(texts[i]);
    return result;
  }
  Row outline(int64_t index) const override { return outline_of(index_, checked(index)); }
  std::string key(int64_t index) const override { return std::string(index_.key(checked(index))); }
  int64_t label(int64_t index) const override { return index_.row(checked(index)).label; }
  const std::vector<std::string>& class_names() const override { return index_.tables.class_names; }
  const std::vector<Rejection>& rejected() const override { return index_.tables.rejected; }
  std::string fingerprint() const override { return index_.tables.fingerprint; }

  CaptionFingerprints caption_fingerprints() const override {
    const std::scoped_lock lock(mutex_);
    if (!fingerprints_) fingerprints_ = notes_.fingerprints([this] { return hash_captions(*this); });
    return *fingerprints_;
  }

 private:
  std::string read_bytes_of(int64_t index) const override {
    const IndexedRow& record = index_.row(checked(index));
    const auto file = index_.image_file(index);
    const bool is_whole = has_indexed_size(record);
    try {
      if (rows_ && rows_->image) return rows_->image(index);
      auto bytes = read_bytes(file, record.offset, is_whole ? 0 : record.bytes);
      if (is_whole && bytes.size() != record.bytes) refuse_changed(file);
      return bytes;
    } catch (const ReadFault& fault) {
      if (is_whole && fault.reason == Reason::kEmptyFile) refuse_changed(file);
      throw BadSample({.row = index,
                       .key = key(index),
                       .offset = record.offset,
                       .reason = fault.reason,
                       .detail = fault.detail});
    }
  }
  // Whether the image is a file of its own, whose size an index file has. A start does not look at such files.
  bool has_indexed_size(const IndexedRow& record) const {
    return !notes_.index.empty() && record.bytes > 0 &&
           index_.tables.files[record.file].form != FilePattern::kOne;
  }
  [[noreturn]] void refuse_changed(const std::filesystem::path& file) const {
    notes_.mark_changed();
    throw SourceChanged(
        fmt::format("{} has another size than when its source was listed. Start the command "
                    "again: it lists the source anew.",
                    file.string()));
  }
  std::vector<std::string> texts_of(int64_t index) const {
    try {
      return texts_.of(index);
    } catch (const UserError& error) {
      if (error.code() == ExitCode::kBadInput) notes_.mark_changed();
      throw;
    }
  }
  int64_t checked(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < size(), "sample {} of {}", index, size());
    return index;
  }

  const SourceIndex index_;
  const std::shared_ptr<const PlacedRows> rows_;  // null: all is in files
  const CaptionTexts texts_;
  const IndexNotes notes_;
  mutable std::mutex mutex_;
  mutable std::optional<CaptionFingerprints> fingerprints_;
};

}  // namespace

std::unique_ptr<Dataset> make_dataset(SourceIndex index, IndexNotes notes,
                                      std::shared_ptr<const PlacedRows> rows) {
  return std::make_unique<RecordDataset>(std::move(index), std::move(notes), std::move(rows));
}

}  // namespace pixart::data
