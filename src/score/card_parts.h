// The parts that all cards share, with the names under which cards compare.
#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "inception.h"
#include "moments.h"
#include "pixart/models/clip.h"
#include "pixart/score/score.h"

namespace pixart::score {

// Names in cards and in the protocol of stored statistics.
inline constexpr const char *kResize = "resize", *kWeightsHash = "weights_sha256",
                            *kImagesHash = "images_sha256";
// A text of the protocol that this program stores with statistics; "" in files of others.
std::string stored_text(const StatisticsFile& file, const char* name);

// Below it a covariance of 2048 features is singular, and FID is mostly bias.
inline constexpr int64_t kFewImages = kFeatures;

// Parts of a protocol.
nlohmann::ordered_json protocol_of_images(int64_t count);
nlohmann::ordered_json protocol_of_inception(const std::string& tensors_sha256, ResizeRule rule);
nlohmann::ordered_json protocol_of_reference(bool is_statistics, const std::string& sha256, int64_t count);
nlohmann::ordered_json protocol_of_clip(const std::string& tensors_sha256, const models::ClipConfig& config);
inline constexpr const char* kCmmdPixels = "centre square, bicubic";
inline constexpr const char* kCropPixels = "bicubic short side, centre crop";

// The last part of a path, which says nothing of the machine.
std::string name_of(const std::filesystem::path& path);

// Throws UserError(kNumerics) that names the values that are not finite: JSON would write null for them.
void require_finite(const std::vector<std::pair<std::string, double>>& values);

struct CardContent {
  const std::vector<std::pair<std::string, double>>& values;
  const std::vector<std::string>& notes;
  nlohmann::ordered_json protocol;
  std::string images_name, images_sha256;  // of the set of images
  std::filesystem::path reference, weights;
  const OpenedInception* inception;  // of `weights`; null: none
  c10::Device device;
};
// JSON with a line break at its end. All values must be finite, as require_finite() wants.
std::string card_text(const CardContent& content);

}  // namespace pixart::score
