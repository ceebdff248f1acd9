#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "pickle.h"
#include "pixart/base/error.h"
#include "pth_layouts.h"

namespace pixart::formats {

namespace {

using Kind = PickleNode::Kind;

// 0x1950a86a20f9469cfc6c, pickled: PROTO 2, LONG1 of ten bytes, STOP.
constexpr std::string_view kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
constexpr int64_t kProtocol = 1001;

[[noreturn]] void refuse(const InputFile& file, const std::string& reason) {
  throw UserError(fmt::format("{}: {}.", file.name(), reason));
}

void check_protocol(const InputFile& file, PickleBytes& bytes) {
  const PickleGraph graph = read_pickle(bytes, false);
  const PickleNode& root = graph.node(graph.root);
  if (root.kind != Kind::kInteger || root.integer != kProtocol)
    refuse(file, "a PyTorch file with an unknown protocol");
}

void check_system(const InputFile& file, PickleBytes& bytes) {
  const PickleGraph graph = read_pickle(bytes, false);
  const PickleNode& root = graph.node(graph.root);
  if (root.kind != Kind::kDict) refuse(file, "a PyTorch file without a description of its system");
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const PickleNode &key = graph.node(root.items[i]), &value = graph.node(root.items[i + 1]);
    if (key.text == "little_endian" && value.integer != 1)
      refuse(file, "written on a big-endian machine; save it again on a little-endian machine");
  }
}

std::vector<std::string> read_keys(const InputFile& file, PickleBytes& bytes) {
  const PickleGraph graph = read_pickle(bytes, false);
  std::vector<std::string> keys;
  for (const NodeId item : graph.node(graph.root).items) keys.push_back(graph.node(item).text);
  if (graph.node(graph.root).kind != Kind::kList) refuse(file, "a PyTorch file without a list of storages");
  return keys;
}

// Offsets of the storages' bytes. Each storage occurs once, after its number of elements; the last one ends
// with the file.
std::vector<uint64_t> places_of(const InputFile& file, uint64_t at, const std::vector<std::string>& keys,
                                const std::vector<StorageSpec>& storages) {
  std::map<std::string, size_t> unplaced;
  for (size_t i = 0; i < storages.size(); ++i) unplaced.emplace(storages[i].key, i);
  std::vector<uint64_t> places(storages.size());
  for (const auto& key : keys) {
    const auto found = unplaced.find(key);
    if (found == unplaced.end()) refuse(file, fmt::format("storage {} belongs to no tensor", shown(key)));
    const StorageSpec& storage = storages[found->second];
    const uint64_t element = storage.untyped ? 1 : c10::elementSize(storage.dtype);
    int64_t numel = -1;
    if (file.bytes() - at < sizeof numel)
      refuse(file, fmt::format("byte {}: storage {} is cut off", at, shown(key)));
    file.read(&numel, sizeof numel, at);
    at += sizeof numel;
    if (numel < 0 || uint64_t(numel) != storage.bytes / element) {
      refuse(file, fmt::format("byte {}: storage {} has {} elements, its tensors need {}", at, shown(key),
                               numel, storage.bytes / element));
    }
    if (storage.bytes > file.bytes() - at)
      refuse(file, fmt::format("byte {}: storage {} is cut off", at, shown(key)));
    places[found->second] = at;
    at += storage.bytes;
    unplaced.erase(found);
  }
  if (!unplaced.empty()) refuse(file, fmt::format("storage {} is missing", shown(unplaced.begin()->first)));
  if (at != file.bytes()) refuse(file, fmt::format("byte {}: the file continues after the last storage", at));
  return places;
}

}  // namespace

bool has_legacy_magic(std::string_view head) { return head.starts_with(kMagic); }

PthLayout read_legacy_layout(const InputFile& file) {
  PickleBytes bytes(file, kMagic.size(), std::min(file.bytes(), kLargestPickle));
  check_protocol(file, bytes);
  check_system(file, bytes);
  PickleGraph graph = read_pickle(bytes, /*with_storages=*/true);
  const auto keys = read_keys(file, bytes);
  auto places = places_of(file, bytes.at(), keys, graph.storages);
  std::vector<uint64_t> sizes;
  for (const auto& storage : graph.storages) sizes.push_back(storage.bytes);
  return {std::move(graph),
          [&file, places = std::move(places), sizes = std::move(sizes)](size_t storage, void* to) {
            file.read(to, sizes[storage], places[storage]);
          }};
}

}  // namespace pixart::formats
