#include "weight_sets.h"

#include <algorithm>
#include <map>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::formats {

namespace {

using Names = std::vector<std::string>;
constexpr int kDeepestNest = 8;

// Keys under which training programs save weights, in contrast to the optimizer's state and other data.
const std::map<std::string, Names>& sets_of_names() {
  static const std::map<std::string, Names> names = {
      {"model",
       {"state_dict", "model", "model_state_dict", "module", "params", "generator", "net", "network",
        "weights", "shadow"}},
      {"ema",
       {"state_dict_ema", "ema", "ema_state_dict", "params_ema", "ema_model", "model_ema", "net_ema"}}};
  return names;
}

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_of(const std::string& group, const std::string& name) {
  const auto found = sets_of_names().find(group);
  return name == group || (found != sets_of_names().end() && contains(found->second, name));
}

// The entries of a dictionary that may be sets of weights.
struct Entries {
  Names names = {};
  std::vector<const PickleValue*> values = {};
  bool has_tensor = false;
};

// The result has pointers to values of this dictionary, so the code must not walk a copy of it.
Entries entries_of(const PickleValue& root, const std::string& which) {
  Entries entries;
  static const PickleDict nothing;
  const PickleDict* top = as_dict(root);
  for (const auto& [key, value] : top != nullptr ? *top : nothing) {
    entries.has_tensor |= std::holds_alternative<PickleTensor>(value.value);
    const auto* name = std::get_if<std::string>(&key.value);
    if (name == nullptr || as_dict(value) == nullptr) continue;
    if (*name == which || is_of("model", *name) || is_of("ema", *name))
      entries.names.push_back(*name), entries.values.push_back(&value);
  }
  return entries;
}

WeightSet choose(const PickleValue& root, const std::string& which, const std::string& file, int depth) {
  const Entries entries = entries_of(root, which);
  const bool is_plain = entries.has_tensor || entries.names.empty() || depth == kDeepestNest;
  std::vector<size_t> wanted;
  for (size_t i = 0; i < entries.names.size(); ++i)
    if (is_of(which, entries.names[i])) wanted.push_back(i);
  if (wanted.size() > 1) refuse_choice(file, which, entries.names);
  if (wanted.empty() && which == "model" && is_plain) return {&root};
  size_t chosen = wanted.empty() ? 0 : wanted.front();
  const bool may_be_below = entries.names.size() == 1 && is_of("model", entries.names[0]) && !is_plain;
  if (wanted.empty() && !may_be_below) refuse_choice(file, which, entries.names);
  // Inside a set that was found, what is wanted is its weights.
  const bool is_found = !wanted.empty();
  const Entries inner = entries_of(*entries.values[chosen], which);
  const bool has_which = std::any_of(inner.names.begin(), inner.names.end(),
                                     [&](const auto& name) { return is_of(which, name); });
  WeightSet set = choose(*entries.values[chosen], is_found && !has_which ? "model" : which, file, depth + 1);
  set.path = entries.names[chosen] + (set.path.empty() ? "" : "." + set.path);
  for (size_t i = 0; i < entries.names.size(); ++i)
    if (i != chosen) set.others.push_back(entries.names[i]);
  return set;
}

}  // namespace

const PickleDict* as_dict(const PickleValue& value) {
  const auto* dict = std::get_if<std::shared_ptr<PickleDict>>(&value.value);
  return dict != nullptr ? dict->get() : nullptr;
}

void refuse_choice(const std::string& file, const std::string& which, const Names& sets) {
  if (sets.empty()) {
    throw UserError(
        fmt::format("{} has only one set of weights, none called '{}'. Do not choose a set.", file, which));
  }
  throw UserError(fmt::format("{} has no weights called '{}', but has: {}. Choose one of these.", file, which,
                              join(sets, ", ")));
}

WeightSet choose_set(const PickleValue& root, const std::string& which, const std::string& file) {
  return choose(root, which, file, 0);
}

Weights part_below(Weights weights, const std::string& prefix) {
  std::map<std::string, WeightInfo> below;
  for (auto& [name, info] : weights.tensors)
    if (name.starts_with(prefix)) below.emplace(name.substr(prefix.size()), std::move(info));
  weights.tensors = std::move(below);
  weights.read = [read = std::move(weights.read), prefix](const std::string& name) {
    return read(prefix + name);
  };
  return weights;
}

Weights choose_flat_set(Weights weights, const std::string& which, const std::string& file) {
  if (which == "model") return weights;
  Names found;
  for (const auto& [name, info] : weights.tensors) {
    const std::string key = name.substr(0, name.find('.'));
    const bool is_set = key.size() < name.size() && is_of(which, key);
    if (is_set && !contains(found, key)) found.push_back(key);
  }
  if (found.size() != 1) refuse_choice(file, which, found);
  const size_t count = weights.tensors.size();
  weights = part_below(std::move(weights), found[0] + ".");
  if (weights.tensors.size() < count) weights.other_sets.push_back("model");
  weights.notes.push_back(fmt::format("the weights are the tensors below '{}.'", found[0]));
  return weights;
}

}  // namespace pixart::formats
