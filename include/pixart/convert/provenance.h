// Where a weight file comes from: metadata that every file of ours carries.
//   pixart.format_version, pixart.producer, pixart.architecture (one line of JSON), pixart.conversion,
//   pixart.license, pixart.parents: [{"file": name, "sha256": hex}, ...] as JSON,
//   and where there are adapters pixart.lora: {"rank", "alpha"} as JSON
#pragma once
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "pixart/convert/layout.h"
#include "pixart/formats/weights.h"

namespace pixart::convert {

struct Provenance {
  Architecture architecture;
  std::string conversion;                           // "official names to diffusers"
  std::string license;                              // see license_of()
  std::vector<std::filesystem::path> parents = {};  // files whose numbers went in
};

// Metadata with the parents' hashes computed now.
formats::Metadata provenance_metadata(const Provenance& provenance);

// The same for a file that is written while the hashes are computed by another thread: `metadata()` has zeros
// in their place, `complete` waits and fills them in.
class BackgroundProvenance {
 public:
  explicit BackgroundProvenance(Provenance provenance);
  formats::Metadata metadata() const;
  formats::CompleteMetadata complete() const;

 private:
  Provenance provenance_;
  std::shared_future<std::vector<std::string>> hashes_;
};

// What a model made from `source` must say about its licence: the file's own word; otherwise, by layout,
// under which licence such weights were published.
std::string license_of(const formats::Weights& source, Layout layout);

}  // namespace pixart::convert
