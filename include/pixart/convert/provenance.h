// The origin of a weight file: metadata in every file that this program writes.
//   pixart.format_version, pixart.producer, pixart.architecture (one line of JSON), pixart.conversion,
//   pixart.license, pixart.parents: [{"file": name, "sha256": hex}, ...] as JSON,
//   of a transformer pixart.process: what it predicts (see process_text()),
//   and with adapters pixart.lora: {"rank", "alpha"} as JSON
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
  std::vector<std::filesystem::path> parents = {};  // files from which the weights were computed
  std::string process = "null";                     // of a transformer: see process_text()
};

// Metadata with the parents' hashes computed now.
formats::Metadata provenance_metadata(const Provenance& provenance);

// The same for a file that is written while another thread computes the hashes: `metadata()` has zeros
// instead of hashes; `complete` waits for them and fills them in.
class BackgroundProvenance {
 public:
  explicit BackgroundProvenance(Provenance provenance);
  formats::Metadata metadata() const;
  formats::CompleteMetadata complete() const;
  formats::Metadata finished() const;  // waits for the hashes

 private:
  Provenance provenance_;
  std::shared_future<std::vector<std::string>> hashes_;
};

// The licence of a model made from `source`: as stated in the file; otherwise the licence under which weights
// of this layout were published.
std::string license_of(const formats::Weights& source, Layout layout);

}  // namespace pixart::convert
