#include "pth.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "likely_content.h"
#include "pixart/base/error.h"
#include "pth_layouts.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

PthLayout read_layout(const InputFile& file) {
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 64), 0);
  if (head.starts_with("PK\x03\x04")) return read_zip_layout(file);
  if (has_legacy_magic(head)) return read_legacy_layout(file);
  if (head.empty()) throw UserError(fmt::format("{}: the file is empty.", file.name()));
  throw UserError(fmt::format("{}: {}. Fetch the file again.", file.name(),
                              not_but(file, "a file of torch.save (a zip archive, or its old layout)")));
}

// Text and integers; no other keys occur on the path to a tensor.
std::string key_text(const PickleValue& key) {
  if (const auto* text = std::get_if<std::string>(&key.value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&key.value)) return std::to_string(*number);
  if (const auto* opaque = std::get_if<Opaque>(&key.value)) return opaque->global;
  return "?";
}

void flatten(const PickleValue& value, const std::string& path, const std::string& separator,
             std::vector<std::pair<std::string, PickleTensor>>& out) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + separator + key; };
  if (const auto* tensor = std::get_if<PickleTensor>(&value.value)) {
    out.emplace_back(path, *tensor);
  } else if (const auto* list = std::get_if<std::shared_ptr<PickleList>>(&value.value)) {
    for (size_t i = 0; i < (*list)->size(); ++i)
      flatten((**list)[i], below(std::to_string(i)), separator, out);
  } else if (const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value)) {
    for (const auto& [key, item] : **dict) flatten(item, below(key_text(key)), separator, out);
  }
}

}  // namespace

PickleValue open_pth(const fs::path& path) {
  const auto file = std::make_shared<const InputFile>(path);
  const PthLayout layout = read_layout(*file);
  return make_value(
      layout.graph, [file, read = layout.read](size_t storage, void* to) { read(storage, to); },
      file->name());
}

std::vector<std::pair<std::string, PickleTensor>> flatten_tensors(const PickleValue& value,
                                                                  const std::string& separator) {
  std::vector<std::pair<std::string, PickleTensor>> result;
  flatten(value, "", separator, result);
  return result;
}

}  // namespace pixart::formats
