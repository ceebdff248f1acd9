#include "pixart/formats/pth.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pth_layouts.h"
#include "pth_part.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

using Kind = PickleNode::Kind;

PthLayout read_layout(const InputFile& file) {
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 64), 0);
  if (head.starts_with("PK\x03\x04")) return read_zip_layout(file);
  if (has_legacy_magic(head)) return read_legacy_layout(file);
  if (head.starts_with("version https://git-lfs")) {
    throw UserError(fmt::format("{}: a Git LFS pointer, not the file itself. Fetch it with `git lfs pull`.",
                                file.name()));
  }
  throw UserError(
      fmt::format("{}: {}.", file.name(),
                  head.empty() ? "the file is empty"
                               : "this is no file of torch.save (neither a zip archive nor its old layout)"));
}

// Names under which training programs keep weights, apart from the optimizer's state and the like.
bool is_wrapper_name(const std::string& name) {
  static const std::vector<std::string> names = {
      "state_dict",     "model",  "ema",    "state_dict_ema", "model_state_dict",
      "ema_state_dict", "module", "params", "params_ema",     "generator"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

NodeId choose_root(const PickleGraph& graph, const std::string& wrapper, const std::string& file) {
  const PickleNode& top = graph.node(graph.root);
  if (top.kind != Kind::kDict) return graph.root;
  std::vector<std::string> wrappers;
  bool has_tensor = false;
  for (size_t i = 0; i < top.items.size(); i += 2) {
    const PickleNode &key = graph.node(top.items[i]), &value = graph.node(top.items[i + 1]);
    has_tensor |= value.kind == Kind::kTensor;
    if (key.kind != Kind::kText || value.kind != Kind::kDict) continue;
    if (key.text == wrapper) return top.items[i + 1];
    if (is_wrapper_name(key.text)) wrappers.push_back(key.text);
  }
  if (wrappers.empty() || has_tensor) return graph.root;
  throw UserError(fmt::format("{} holds no weights under '{}', but under: {}. Name one of these.", file,
                              wrapper, join(wrappers, ", ")));
}

// Text and integers; other keys do not occur on the way to a tensor.
std::string key_text(const PickleValue& key) {
  if (const auto* text = std::get_if<std::string>(&key.value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&key.value)) return std::to_string(*number);
  if (const auto* opaque = std::get_if<Opaque>(&key.value)) return opaque->global;
  return "?";
}

void flatten(const PickleValue& value, const std::string& path, const std::string& separator,
             std::vector<std::pair<std::string, at::Tensor>>& out) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + separator + key; };
  if (const auto* tensor = std::get_if<at::Tensor>(&value.value)) {
    out.emplace_back(path, *tensor);
  } else if (const auto* list = std::get_if<std::shared_ptr<PickleList>>(&value.value)) {
    for (size_t i = 0; i < (*list)->size(); ++i)
      flatten((**list)[i], below(std::to_string(i)), separator, out);
  } else if (const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value)) {
    for (const auto& [key, item] : **dict) flatten(item, below(key_text(key)), separator, out);
  }
}

}  // namespace

PickleValue load_pth(const fs::path& path) {
  const InputFile file(path);
  const PthLayout layout = read_layout(file);
  return make_value(layout.graph, layout.graph.root, layout.read, file.name());
}

PickleValue load_pth_part(const fs::path& path, const std::string& wrapper) {
  const InputFile file(path);
  const PthLayout layout = read_layout(file);
  return make_value(layout.graph, choose_root(layout.graph, wrapper, file.name()), layout.read, file.name());
}

std::vector<std::pair<std::string, at::Tensor>> flatten_tensors(const PickleValue& value,
                                                                const std::string& separator) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  flatten(value, "", separator, result);
  return result;
}

}  // namespace pixart::formats
