// Converts one sample to members of a WebDataset shard. See pack.h.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

// Encodes a key reversibly into a valid WebDataset key: without a dot after the last slash, and without parts
// that have a meaning in paths.
std::string encode_member_key(std::string_view key);

// The distinct member keys of a whole source. Memory does not grow with the rows, but with the keys that need their
// extension to be distinct.
class MemberKeys {
 public:
  explicit MemberKeys(const Dataset& dataset);  // for the rows that the listing does not reject
  std::string of(const std::string& key) const;

 private:
  std::unordered_set<size_t> shared_;  // hashes of keys without extension that several rows would have
};

using Members = std::vector<std::pair<std::string, std::string>>;  // name, content

struct PackedSample {
  Members members = {};
  std::optional<Rejection> rejection = {};  // set if the sample is not packed
};

class Packer {
 public:
  // Throws UserError for kinds of captions whose name a .json uses for something else.
  Packer(const SourceConfig& config, const Dataset& dataset, bool verify);
  PackedSample pack(int64_t index) const;  // may be called from any thread

 private:
  Members members_of(int64_t index) const;
  const Dataset& dataset_;
  MemberKeys keys_;
  bool has_one_kind_, verify_;
};

}  // namespace pixart::data
