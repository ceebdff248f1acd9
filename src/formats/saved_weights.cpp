#include "saved_weights.h"

#include <ATen/ATen.h>

#include <memory>

#include "pixart/base/error.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

// Adds the folder and the remedy to the message.
[[noreturn]] void refuse(const fs::path& folder, const UserError& error) {
  if (error.code() != ExitCode::kBadInput) throw error;  // the machine's fault, not the checkpoint's
  throw UserError(fmt::format("checkpoint {}: {}. It is not used; choose another checkpoint.",
                              folder.string(), error.what()),
                  error.code());
}

}  // namespace

std::optional<FileRecord> saved_record(const fs::path& file) {
  std::error_code ignored;
  const fs::path real = fs::canonical(file, ignored);
  const fs::path folder = real.parent_path();
  if (real.empty() || !is_checkpoint_folder(folder)) return std::nullopt;
  try {
    const Manifest manifest = read_manifest(folder);
    const auto found = manifest.files.find(real.filename());
    if (found == manifest.files.end()) return std::nullopt;
    check_sizes(folder, manifest, found->first);
    check_header(real, found->second);
    return found->second;
  } catch (const UserError& error) {
    refuse(folder, error);
  }
}

Weights compared(Weights weights, const fs::path& file, const FileRecord& record) {
  const auto hashes = std::make_shared<std::map<std::string, std::string>>();
  for (const auto& part : record.parts)
    if (!part.tensor.empty()) hashes->emplace(part.tensor, part.sha256);
  if (hashes->empty()) return weights;  // there is one hash of the whole file, and it was compared already
  weights.read = [read = std::move(weights.read), hashes, file](const std::string& name) {
    const at::Tensor tensor = read(name);
    const auto found = hashes->find(name);
    if (found == hashes->end() ||
        sha256({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}) != found->second)
      refuse(file.parent_path(),
             UserError(fmt::format("{} was changed since it was saved (SHA-256 differs: tensor {})",
                                   file.filename().string(), name)));
    return tensor;
  };
  return weights;
}

Weights open_saved(const fs::path& folder, const std::string& which) {
  const fs::path file = folder / (which + ".safetensors");
  const auto record = saved_record(file);
  if (!record)
    refuse(folder, UserError(fmt::format("{} is missing, or manifest.json does not name it",
                                         file.filename().string())));
  Weights weights = compared(open_safetensors(file), file, *record);
  weights.other_sets = {which == "ema" ? "model" : "ema"};
  return weights;
}

}  // namespace pixart::formats
