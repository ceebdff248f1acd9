#include "pixart/data/dataset.h"

#include <algorithm>
#include <exception>
#include <new>

#include "pixart/base/failure.h"
#include "pixart/base/machine_fault.h"
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
  const std::string key = row(index).key;
  const auto reject = [&](Reason reason, std::string detail) {
    throw BadSample({.row = index, .key = key, .offset = 0, .reason = reason, .detail = std::move(detail)});
  };
  retry_machine_faults("read " + key, [&] {
    try {
      work();
    } catch (const BadSample&) {
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

formats::ReducedImage Dataset::decode(int64_t index, int least_side) const {
  const std::string bytes = read_bytes_of(index);
  auto image = formats::decode_reduced(bytes, row(index).key, least_side);
  image.checksum = std::max(formats::crc32c(bytes), 1u);
  return image;
}

std::optional<Rejection> Dataset::left_out(int64_t index) const {
  const Verdict* verdict = selection_ ? selection_->verdict(index) : nullptr;
  if (verdict == nullptr) return std::nullopt;
  return Rejection{.row = index, .key = row(index).key, .reason = verdict->reason, .detail = verdict->detail};
}

std::vector<bool> rows_without_captions(const Dataset& dataset) {
  std::vector<bool> result(static_cast<size_t>(dataset.size()));
  for (const auto& rejection : dataset.rejected()) {
    const Row row = dataset.row(rejection.row);
    result[size_t(rejection.row)] =
        concerns_caption(rejection.reason) || (row.captions.empty() && row.caption_file.empty());
  }
  return result;
}

namespace {

// `name_of`: what counts of the path of a caption file.
std::string fingerprint_of_captions(const Dataset& dataset,
                                    const std::function<std::string(const std::filesystem::path&)>& name_of) {
  formats::Sha256 hash;
  const auto lacks = rows_without_captions(dataset);
  for (int64_t index = 0; index < dataset.size(); ++index) {
    const Row row = dataset.row(index);
    hash.add(fmt::format("{}{}\n{}\n", row.captions.size(), lacks[size_t(index)] ? " none" : "",
                         name_of(row.caption_file)));
    for (const auto& caption : row.captions) hash.add(fmt::format("{}={}\n", caption.name, caption.text));
  }
  return hash.hex();
}

}  // namespace

std::string captions_fingerprint(const Dataset& dataset) {
  return fingerprint_of_captions(dataset, [](const auto& file) { return file.filename().string(); });
}

std::string former_captions_fingerprint(const Dataset& dataset) {
  return fingerprint_of_captions(dataset, [](const auto& file) { return file.string(); });
}

std::string Dataset::caption(int64_t index) const {
  const Row sample = row(index);
  return sample.captions.empty() ? std::string() : sample.captions.front().text;
}

}  // namespace pixart::data
