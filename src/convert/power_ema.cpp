#include "pixart/convert/power_ema.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <regex>

#include "pixart/base/error.h"
#include "pixart/optim/power_ema.h"

namespace pixart::convert {
namespace fs = std::filesystem;

namespace {

struct Snapshot {
  formats::Weights weights;
  optim::StoredEmas stored;
};

std::vector<fs::path> snapshot_files(const fs::path& folder) {
  static const std::regex pattern(R"(step-[0-9]{8,}\.safetensors)");
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (std::regex_match(at->path().filename().string(), pattern)) files.push_back(at->path());
  if (files.empty())
    throw UserError(
        fmt::format("{} has no stored EMAs (step-*.safetensors): power_ema.every of a stage makes them, in "
                    "<run>/power_ema/STAGE.",
                    folder.string()));
  std::sort(files.begin(), files.end());
  return files;
}

Snapshot open_snapshot(const fs::path& file) {
  Snapshot snapshot{.weights = formats::open_safetensors(file), .stored = {}};
  const auto text = snapshot.weights.metadata.find(optim::kPowerEmaKey);
  if (text == snapshot.weights.metadata.end())
    throw UserError(fmt::format("{} does not hold power EMAs.", file.string()));
  snapshot.stored = optim::parse_stored_emas(text->second, file.string());
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

std::string name_in(const std::string& name, size_t index) { return fmt::format("{}.{}", index, name); }

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
  for (const auto& file : snapshot_files(folder)) {
    snapshots.push_back(open_snapshot(file));
    require_same(snapshots.front(), snapshots.back(), file);
    for (const double stored : snapshots.back().stored.lengths)
      profiles.push_back({optim::power_of_length(stored), snapshots.back().stored.updates});
  }
  const auto& last = snapshots.back();
  formats::Weights result{.tensors = {}, .metadata = last.weights.metadata, .kind = "stored EMAs"};
  result.metadata.erase(optim::kPowerEmaKey);
  const std::string first = name_in("", 0);
  for (const auto& [name, info] : last.weights.tensors)
    if (name.starts_with(first)) result.tensors.emplace(name.substr(first.size()), info);
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
