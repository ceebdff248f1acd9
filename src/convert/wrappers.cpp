#include "wrappers.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/models/pixart.h"

namespace pixart::convert {

namespace {

using formats::Weights;

// Parts of names that PyTorch's wrappers of single layers add anywhere.
constexpr std::string_view kInnerParts[] = {"_orig_mod.", "_fsdp_wrapped_module.",
                                            "_checkpoint_wrapped_module."};

std::string shortened(std::string name) {
  for (const std::string_view part : kInnerParts)
    for (size_t at = name.find(part); at != std::string::npos; at = name.find(part, at))
      if (at == 0 || name[at - 1] == '.')
        name.erase(at, part.size());
      else
        at += part.size();
  return name;
}

bool is_of_ema(const std::string& prefix) {
  return ("." + prefix).find(".ema") != std::string::npos || prefix.find("_ema.") != std::string::npos;
}

// What is before the mark in the names that end in it.
std::set<std::string> prefixes_of(const Weights& weights, const std::string& mark) {
  std::set<std::string> prefixes;
  for (const auto& [name, info] : weights.tensors)
    if (name.ends_with("." + mark)) prefixes.insert(name.substr(0, name.size() - mark.size()));
  std::set<std::string> others;
  for (const auto& prefix : prefixes)
    if (!is_of_ema(prefix)) others.insert(prefix);
  return others.empty() ? prefixes : others;
}

Weights below(Weights weights, const std::string& prefix) {
  const size_t count = weights.tensors.size();
  weights = formats::part_below(std::move(weights), prefix);
  const size_t rest = count - weights.tensors.size();
  weights.notes.push_back(
      rest == 0 ? fmt::format("all names begin with '{}', which was removed", prefix)
                : fmt::format("the weights are the tensors below '{}'; {} others of the file are not used",
                              prefix, rest));
  return weights;
}

}  // namespace

namespace {

// With other names. False, and nothing is changed, if none differs or two would be the same.
bool rename(Weights& weights, const std::function<std::string(const std::string&)>& renamed) {
  const auto names = std::make_shared<std::map<std::string, std::string>>();  // new name -> old name
  std::map<std::string, formats::WeightInfo> tensors;
  for (const auto& [name, info] : weights.tensors) {
    const std::string other = renamed(name);
    names->emplace(other, name);
    tensors.emplace(other, info);
  }
  const bool is_same =
      std::all_of(names->begin(), names->end(), [](const auto& pair) { return pair.first == pair.second; });
  const bool is_clash = tensors.size() < weights.tensors.size();
  if (is_same || is_clash) return false;
  weights.tensors = std::move(tensors);
  weights.read = [read = std::move(weights.read), names](const std::string& name) {
    return read(names->at(name));
  };
  return true;
}

}  // namespace

Weights without_inner_parts(Weights weights) {
  if (rename(weights, shortened))
    weights.notes.emplace_back(
        "names of wrapped layers (_orig_mod, _fsdp_wrapped_module, ...) were shortened");
  return weights;
}

Weights without_controlled_part(Weights weights) {
  const std::string prefix = kControlledPrefix;
  if (!weights.tensors.contains(prefix + "t_block.1.weight")) return weights;
  if (rename(weights, [&](const std::string& name) {
        return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
      }))
    weights.notes.push_back(fmt::format("'{}' was removed from the names of the controlled model", prefix));
  return weights;
}

Weights with_controlled_part(Weights weights) {
  rename(weights, [](const std::string& name) {
    return models::is_control_name(name) ? name : kControlledPrefix + name;
  });
  return weights;
}

Weights unwrapped(Weights weights, const std::vector<std::string>& marks, const std::string& subject) {
  for (const auto& mark : marks) {
    if (weights.tensors.count(mark) > 0) return weights;
    const auto prefixes = prefixes_of(weights, mark);
    if (prefixes.size() > 1)
      throw UserError(fmt::format("{} has several models, below: {}. Save one of them alone.", subject,
                                  join({prefixes.begin(), prefixes.end()}, ", ")));
    if (prefixes.size() == 1) return below(std::move(weights), *prefixes.begin());
  }
  return weights;
}

}  // namespace pixart::convert
