#include "pixart/convert/power_ema.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <regex>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/optim/power_ema.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

struct Snapshot {
  formats::Weights weights;
  optim::StoredEmas stored;
};

// With their steps, in order.
std::vector<std::pair<int64_t, fs::path>> snapshot_files(const fs::path& folder) {
  static const std::regex pattern(R"(step-([0-9]{8,10})\.safetensors)");
  std::vector<std::pair<int64_t, fs::path>> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (std::smatch match; std::regex_match(name, match, pattern))
      files.emplace_back(std::stoll(match[1].str()), at->path());
  }
  if (files.empty())
    throw UserError(
        fmt::format("{} has no stored EMAs (step-*.safetensors): power_ema.every of a stage makes them, in "
                    "<run>/power_ema/STAGE.",
                    folder.string()));
  std::sort(files.begin(), files.end());
  return files;
}

std::string name_in(const std::string& name, size_t index) { return fmt::format("{}.{}", index, name); }

// "1.blocks.0.attn.qkv.weight" -> "blocks.0.attn.qkv.weight"; "" if the tensor is of none of the EMAs.
std::string name_outside(const std::string& stored, size_t num_emas) {
  for (size_t i = 0; i < num_emas; ++i)
    if (const std::string begin = name_in("", i); stored.starts_with(begin))
      return stored.substr(begin.size());
  return "";
}

// Each EMA has each tensor, in one shape.
void add_tensor_problems(const Snapshot& snapshot, Problems& problems) {
  const auto& tensors = snapshot.weights.tensors;
  const size_t num_emas = snapshot.stored.lengths.size();
  std::set<std::string> names;
  std::vector<std::string> strange, numberless, missing, unlike;
  for (const auto& [stored, info] : tensors) {
    const std::string name = name_outside(stored, num_emas);
    if (name.empty()) strange.push_back(stored);
    if (!at::isFloatingType(info.dtype)) numberless.push_back(stored);
    if (!name.empty()) names.insert(name);
  }
  for (const auto& name : names) {
    const auto first = tensors.find(name_in(name, 0));
    for (size_t i = 0; i < num_emas; ++i) {
      const auto found = tensors.find(name_in(name, i));
      if (found == tensors.end())
        missing.push_back(name_in(name, i));
      else if (first != tensors.end() && found->second.shape != first->second.shape)
        unlike.push_back(name_in(name, i));
    }
  }
  const auto add = [&](const std::vector<std::string>& which, const std::string& what) {
    if (!which.empty()) problems.add(fmt::format("{}: {}", what, name_some(which)));
  };
  if (tensors.empty()) problems.add("it has no tensors");
  add(strange, fmt::format("tensors of none of its {} EMAs", num_emas));
  add(missing, "tensors that one EMA has and another lacks");
  add(unlike, "tensors whose shape is not that of the first EMA");
  add(numberless, "tensors that are not of a floating-point type");
}

Snapshot open_snapshot(const fs::path& file, int64_t step) {
  Snapshot snapshot{.weights = formats::open_safetensors(file), .stored = {}};
  const auto text = snapshot.weights.metadata.find(optim::kPowerEmaKey);
  if (text == snapshot.weights.metadata.end())
    throw UserError(fmt::format("{} does not hold power EMAs.", file.string()));
  snapshot.stored = optim::parse_stored_emas(text->second, file.string());
  Problems problems;
  if (snapshot.stored.updates > step)
    problems.add(fmt::format("it claims {} updates after {} steps; a step makes one at most",
                             with_thousands(snapshot.stored.updates), with_thousands(step)));
  add_tensor_problems(snapshot, problems);
  problems.throw_if_any(file.string());
  return snapshot;
}

void require_same(const Snapshot& a, const Snapshot& b, const fs::path& file) {
  const auto shapes = [](const Snapshot& snapshot) {
    std::map<std::string, std::vector<int64_t>> result;
    for (const auto& [name, info] : snapshot.weights.tensors) result[name] = info.shape;
    return result;
  };
  if (a.stored.lengths != b.stored.lengths || shapes(a) != shapes(b))
    throw UserError(fmt::format(
        "{} is of another model, or has EMAs of other lengths, than the files before it.", file.string()));
}

at::Tensor mixed(const std::vector<Snapshot>& snapshots, const std::vector<double>& factors,
                 const std::string& name) {
  at::Tensor sum;
  size_t next = 0;
  for (const auto& snapshot : snapshots) {
    for (size_t i = 0; i < snapshot.stored.lengths.size(); ++i) {
      const at::Tensor part = snapshot.weights.read(name_in(name, i)).to(at::kDouble) * factors.at(next++);
      sum = sum.defined() ? sum.add_(part) : part;
    }
  }
  return sum.to(at::kFloat);
}

}  // namespace

formats::Weights power_ema_weights(const fs::path& folder, double length) {
  std::vector<Snapshot> snapshots;
  std::vector<optim::PowerProfile> profiles;
  for (const auto& [step, file] : snapshot_files(folder)) {
    snapshots.push_back(open_snapshot(file, step));
    require_same(snapshots.front(), snapshots.back(), file);
    for (const double stored : snapshots.back().stored.lengths)
      profiles.push_back({optim::power_of_length(stored), snapshots.back().stored.updates});
  }
  const auto& last = snapshots.back();
  formats::Weights result{.tensors = {}, .metadata = last.weights.metadata, .kind = "stored EMAs"};
  result.metadata.erase(optim::kPowerEmaKey);
  const std::string first = name_in("", 0);
  for (const auto& [name, info] : last.weights.tensors)
    if (name.starts_with(first))
      result.tensors.emplace(name.substr(first.size()), formats::WeightInfo{at::kFloat, info.shape});
  for (const auto& snapshot : snapshots)
    result.files.insert(result.files.end(), snapshot.weights.files.begin(), snapshot.weights.files.end());
  result.notes.push_back(fmt::format("EMA of length {} after {} updates, from {} stored ones", length,
                                     last.stored.updates, profiles.size()));
  auto factors = optim::mixture(profiles, {optim::power_of_length(length), last.stored.updates});
  result.read = [snapshots = std::move(snapshots), factors = std::move(factors)](const std::string& name) {
    return mixed(snapshots, factors, name);
  };
  return result;
}

}  // namespace pixart::convert
