#include "pixart/convert/provenance.h"

#include <nlohmann/json.hpp>

#include "pixart/base/version.h"
#include "pixart/formats/hash.h"
#include "provenance_keys.h"

namespace pixart::convert {

namespace {

constexpr const char* kFormatVersion = "1";

std::vector<std::string> hash_all(const std::vector<std::filesystem::path>& files) {
  std::vector<std::string> hashes;
  for (const auto& file : files) hashes.push_back(formats::sha256_of_file(file));
  return hashes;
}

std::string parents_text(const std::vector<std::filesystem::path>& files,
                         const std::vector<std::string>& hashes) {
  nlohmann::ordered_json parents = nlohmann::ordered_json::array();
  for (size_t i = 0; i < files.size(); ++i)
    parents.push_back({{"file", files[i].filename().string()}, {"sha256", hashes[i]}});
  return parents.dump();
}

formats::Metadata metadata_of(const Provenance& provenance, const std::vector<std::string>& hashes) {
  formats::Metadata metadata = {{kFormatVersionKey, kFormatVersion},
                                {kProducerKey, producer()},
                                {kConversionKey, provenance.conversion},
                                {kLicenseKey, provenance.license},
                                {kParentsKey, parents_text(provenance.parents, hashes)}};
  if (const std::string architecture = architecture_text(provenance.architecture); !architecture.empty()) {
    metadata.emplace(kArchitectureKey, architecture);
    metadata.emplace(kProcessKey, provenance.process);
  }
  return metadata;
}

}  // namespace

formats::Metadata provenance_metadata(const Provenance& provenance) {
  return metadata_of(provenance, hash_all(provenance.parents));
}

BackgroundProvenance::BackgroundProvenance(Provenance provenance)
    : provenance_(std::move(provenance)),
      hashes_(std::async(std::launch::async, hash_all, provenance_.parents).share()) {}

formats::Metadata BackgroundProvenance::metadata() const {
  constexpr size_t kHexOfSha256 = 64;
  return metadata_of(provenance_,
                     std::vector<std::string>(provenance_.parents.size(), std::string(kHexOfSha256, '0')));
}

formats::Metadata BackgroundProvenance::finished() const { return metadata_of(provenance_, hashes_.get()); }

formats::CompleteMetadata BackgroundProvenance::complete() const {
  return [hashes = hashes_, files = provenance_.parents](formats::Metadata& metadata) {
    metadata[kParentsKey] = parents_text(files, hashes.get());
  };
}

std::string license_of(const formats::Weights& source, Layout layout) {
  const auto own = source.metadata.find(kLicenseKey);
  if (own != source.metadata.end()) return own->second;
  switch (layout) {
    case Layout::kDit:
    case Layout::kDitDiffusers:
      return "CC-BY-NC-4.0 (non-commercial) if the DiT weights are the published ones; whatever is derived "
             "from them inherits it";
    case Layout::kPixArt:
    case Layout::kPixArtDiffusers:
      return "CreativeML Open RAIL++-M if the weights are the published PixArt ones";
    default:
      return "not stated by the source";
  }
}

}  // namespace pixart::convert
