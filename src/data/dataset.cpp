#include "pixart/data/dataset.h"

#include <algorithm>
#include <exception>
#include <new>

#include "pixart/base/failure.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

Reason reason_of(formats::ImageFault fault) {
  switch (fault) {
    case formats::ImageFault::kEmpty:
      return Reason::kEmptyFile;
    case formats::ImageFault::kNotAnImage:
      return Reason::kNotAnImage;
    case formats::ImageFault::kUnsupported:
      return Reason::kUnsupportedImage;
    case formats::ImageFault::kDamaged:
      return Reason::kDamagedImage;
    case formats::ImageFault::kTooLarge:
      return Reason::kImageTooLarge;
    case formats::ImageFault::kTooThin:
      return Reason::kImageTooThin;
    case formats::ImageFault::kUnreadable:
      return Reason::kUnreadableFile;
  }
  PIXART_CHECK(false, "image fault {}", int(fault));
}

}  // namespace

void Dataset::on_sample(int64_t index, const std::function<void()>& work) const {
  const std::string key = this->key(index);
  const auto reject = [&](Reason reason, std::string detail) {
    throw BadSample({.row = index, .key = key, .offset = 0, .reason = reason, .detail = std::move(detail)});
  };
  retry_machine_faults("read " + key, [&] {
    try {
      work();
    } catch (const BadSample&) {
      throw;
    } catch (const SourceChanged&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const formats::ImageError& error) {
      reject(reason_of(error.fault()), error.what());
    } catch (const UserError& error) {
      if (error.code() != ExitCode::kBadInput) throw;  // the machine, or a request to stop
      reject(Reason::kDamagedImage, error.what());
    } catch (const std::exception& error) {
      if (is_shortage(error)) throw MachineFault::no_memory("read " + key);
      reject(Reason::kDamagedImage, fmt::format("its decoder failed: {}", error.what()));
    }
  });
}

std::string Dataset::bytes(int64_t index) const {
  std::string result;
  on_sample(index, [&] { result = read_bytes_of(index); });
  return result;
}

formats::ReducedImage Dataset::reduced_image(int64_t index, int least_side) const {
  formats::ReducedImage result;
  on_sample(index, [&] { result = decode(index, least_side); });
  return result;
}

formats::ImageSize Dataset::image_size(int64_t index) const {
  formats::ImageSize result;
  on_sample(index, [&] {
    result = formats::size_of_image(read_bytes_of(index), key(index), formats::limits_of(damaged_images_));
  });
  return result;
}

formats::ReducedImage Dataset::decode(int64_t index, int least_side) const {
  const std::string bytes = read_bytes_of(index);
  auto image = formats::decode_reduced(bytes, key(index), least_side, formats::limits_of(damaged_images_));
  image.checksum = std::max(formats::crc32c(bytes), 1u);
  return image;
}

std::optional<Rejection> Dataset::left_out(int64_t index) const {
  const Verdict* verdict = selection_ ? selection_->verdict(index) : nullptr;
  if (verdict == nullptr) return std::nullopt;
  return Rejection{.row = index, .key = key(index), .reason = verdict->reason, .detail = verdict->detail};
}

std::vector<bool> rows_without_captions(const Dataset& dataset) {
  std::vector<bool> result(static_cast<size_t>(dataset.size()));
  for (const auto& rejection : dataset.rejected()) {
    const Row row = dataset.outline(rejection.row);
    result[size_t(rejection.row)] =
        concerns_caption(rejection.reason) || (row.captions.empty() && row.caption_file.empty());
  }
  return result;
}

namespace {

// What counts of rows for the two fingerprints.
struct FingerprintBlock {
  std::string now = {}, former = {};
  bool has_lines = false;

  void add(const Row& row, bool lacks_caption) {
    const auto head = [&](const std::string& file) {
      return fmt::format("{}{}\n{}\n", row.captions.size(), lacks_caption ? " none" : "", file);
    };
    std::string texts;
    for (const auto& caption : row.captions) texts += fmt::format("{}={}\n", caption.name, caption.text);
    has_lines = has_lines || (!row.captions.empty() && row.captions[0].text.find('\n') != std::string::npos);
    now += head(row.caption_file.filename().string()) + texts;
    former += head(row.caption_file.string()) + texts;
  }
};

}  // namespace

CaptionFingerprints hash_captions(const Dataset& dataset) {
  constexpr int64_t kRows = 256, kBlocks = 64;  // blocks in memory
  formats::Sha256 now, former;
  bool has_lines = false;
  const auto lacks = rows_without_captions(dataset);
  for (int64_t first = 0; first < dataset.size(); first += kRows * kBlocks) {
    const int64_t rows = std::min(kRows * kBlocks, dataset.size() - first);
    std::vector<FingerprintBlock> blocks(size_t((rows + kRows - 1) / kRows));
    for_each_in_parallel(int64_t(blocks.size()), [&](int64_t block) {
      const int64_t end = std::min(first + (block + 1) * kRows, dataset.size());
      for (int64_t row = first + block * kRows; row < end; ++row)
        blocks[size_t(block)].add(dataset.row(row), lacks[size_t(row)]);
    });
    for (const auto& block : blocks) {
      now.add(block.now), former.add(block.former);
      has_lines = has_lines || block.has_lines;
    }
    give_sign_of_life();
  }
  return {now.hex(), former.hex(), has_lines};
}

CaptionFingerprints Dataset::caption_fingerprints() const { return hash_captions(*this); }

std::string captions_fingerprint(const Dataset& dataset) { return dataset.caption_fingerprints().now; }

std::string former_captions_fingerprint(const Dataset& dataset) {
  return dataset.caption_fingerprints().former;
}

std::string Dataset::caption(int64_t index) const {
  const Row sample = row(index);
  return sample.captions.empty() ? std::string() : sample.captions.front().text;
}

}  // namespace pixart::data
