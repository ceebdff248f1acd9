// manifest.json of a feature set.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "feature_files.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"

namespace pixart::data {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

// Files of a set are read and deleted by these names, so no path may be among them.
bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && fs::path(name).filename() == name;
}

constexpr int kFormat = 1;
constexpr uint64_t kLargestManifest = uint64_t{64} << 20;

const std::string* find_input(const FeatureInputs& inputs, const std::string& name) {
  const auto found =
      std::find_if(inputs.begin(), inputs.end(), [&](const auto& input) { return input.name == name; });
  return found == inputs.end() ? nullptr : &found->value;
}

bool is_former(const FeatureInput& input, const std::string* found) {
  return found != nullptr && !input.former.empty() && *found != input.value && *found == input.former;
}

}  // namespace

bool has_feature_set(const fs::path& folder) { return fs::exists(folder / kManifestFile); }

std::string inputs_text(const FeatureInputs& inputs) {
  ordered_json json = ordered_json::object();
  for (const auto& input : inputs) json[input.name] = input.value;
  return json.dump(1) + "\n";
}

FeatureInputs parse_inputs(const std::string& text) {
  FeatureInputs inputs;
  const auto json = formats::parse_ordered(text);
  for (const auto& [name, value] : json.items()) inputs.push_back({name, value.get<std::string>()});
  return inputs;
}

FeatureInputs all_inputs(const FeatureInputs& inputs, int64_t items_per_shard) {
  FeatureInputs result = inputs;
  result.push_back({"items_per_shard", std::to_string(items_per_shard)});
  return result;
}

FeatureManifest read_feature_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  const auto no_manifest = [&](const std::exception& error) {
    return UserError(fmt::format("{} is not a manifest of features: {}. Remove the folder and extract again.",
                                 path.string(), error.what()),
                     ExitCode::kStorage);
  };
  try {
    const auto json = formats::parse_ordered(read_file(path, kLargestManifest));
    if (json.at("format") != kFormat)
      throw UserError(fmt::format("{}: format {}; this version reads format {}.", path.string(),
                                  json.at("format").dump(), kFormat));
    FeatureManifest manifest{.kind = json.at("kind"),
                             .source = json.at("source"),
                             .rows = json.at("rows"),
                             .rejected = json.at("rejected"),
                             .inputs = parse_inputs(json.at("inputs").dump()),
                             .shards = {}};
    for (const auto& shard : json.at("shards"))
      manifest.shards.push_back({.file = shard.at("file"),
                                 .sha256 = shard.at("sha256"),
                                 .bytes = shard.at("bytes"),
                                 .items = shard.at("items")});
    for (const auto& shard : manifest.shards)
      if (!is_file_name(shard.file))
        throw UserError(fmt::format("{} names the shard '{}', which is not a file in its folder.",
                                    path.string(), shard.file),
                        ExitCode::kStorage);
    if (json.contains("index")) manifest.index_sha256 = json.at("index").at("sha256");
    if (json.contains("keys")) manifest.keys_sha256 = json.at("keys").at("sha256");
    if (manifest.rows < 0 || manifest.rejected < 0 || manifest.rejected > manifest.rows)
      throw UserError(fmt::format("{}: {} of {} rows rejected. Remove the folder and extract again.",
                                  path.string(), manifest.rejected, manifest.rows),
                      ExitCode::kStorage);
    return manifest;
  } catch (const formats::BadJson& error) {
    throw no_manifest(error);
  } catch (const nlohmann::json::exception& error) {
    throw no_manifest(error);
  }
}

std::vector<fs::path> shard_files(const fs::path& folder, const FeatureManifest& manifest) {
  std::vector<fs::path> files;
  Problems problems;
  for (const auto& shard : manifest.shards) {
    files.push_back(folder / shard.file);
    std::error_code error;
    const auto bytes = fs::file_size(files.back(), error);
    if (error)
      problems.add(fmt::format("{}: {}", shard.file, error.message()));
    else if (bytes != shard.bytes)
      problems.add(fmt::format("{}: {} bytes, but {} in the manifest", shard.file, bytes, shard.bytes));
  }
  problems.throw_if_any("features " + folder.string() + " are damaged (" + kHowToMend + ")",
                        ExitCode::kStorage);
  return files;
}

void keep_former(FeatureInputs& inputs, const FeatureInputs& begun) {
  for (auto& input : inputs)
    if (const std::string* found = find_input(begun, input.name); is_former(input, found))
      input.value = *found;
}

void write_feature_manifest(const fs::path& folder, const FeatureManifest& manifest) {
  ordered_json json = {{"format", kFormat},
                       {"kind", manifest.kind},
                       {"source", manifest.source},
                       {"rows", manifest.rows},
                       {"rejected", manifest.rejected},
                       {"inputs", ordered_json::object()},
                       {"shards", ordered_json::array()}};
  for (const auto& input : manifest.inputs) json["inputs"][input.name] = input.value;
  for (const auto& shard : manifest.shards)
    json["shards"].push_back(
        {{"file", shard.file}, {"items", shard.items}, {"bytes", shard.bytes}, {"sha256", shard.sha256}});
  if (!manifest.index_sha256.empty())
    json["index"] = {{"file", kIndexFile}, {"sha256", manifest.index_sha256}};
  if (!manifest.keys_sha256.empty()) json["keys"] = {{"file", kKeysFile}, {"sha256", manifest.keys_sha256}};
  write_file_atomically(folder / kManifestFile, json.dump(1) + "\n");
}

void require_inputs(const fs::path& folder, const FeatureManifest& manifest, const FeatureInputs& wanted) {
  Problems problems;
  std::vector<std::string> former;
  for (const auto& input : wanted) {
    const std::string* found = find_input(manifest.inputs, input.name);
    if (is_former(input, found))
      former.push_back(input.name);
    else if (found == nullptr || *found != input.value)
      problems.add(fmt::format("{}: the features were made with {}, this run has '{}'{}", input.name,
                               found == nullptr ? "none" : "'" + *found + "'", input.value,
                               input.hint.empty() ? "" : ". " + input.hint));
  }
  for (const auto& input : manifest.inputs)
    if (find_input(wanted, input.name) == nullptr)
      problems.add(
          fmt::format("{}: the features were made with '{}', this run has none", input.name, input.value));
  problems.throw_if_any("features " + folder.string() +
                        " do not fit this run (extract into another folder, or remove this one)");
  if (former.empty()) return;
  log::warning(
      "features {} were made by a version that hashed only names, sizes and both ends of the files of the "
      "{}. These agree; a change between the ends is not noticed. To renew the features, remove the folder "
      "and extract again.",
      folder.string(), join(former, ", "));
}

}  // namespace pixart::data
