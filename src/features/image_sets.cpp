// Where the sets of latents and of teachers' features are, and how large a record of them is.
#include "extract_common.h"
#include "pixart/base/words.h"
#include "pixart/features/extract.h"
#include "pixart/features/teacher.h"

namespace pixart::features {
namespace fs = std::filesystem;

namespace {

std::string resolutions_in_name(const run::StageConfig& stage) {
  std::vector<std::string> words;
  for (const auto& one : stage.at_each_resolution()) words.push_back(std::to_string(one.resolution));
  const bool reads_shares = stage.resolution_rule == data::ResolutionRule::kShare;
  return join(words, "-") + (reads_shares ? "-shared" : "");
}

fs::path image_set_folder(const run::RunConfig& run, const run::StageConfig& stage, const std::string& source,
                          const std::string& kind) {
  return features_folder(run) / fmt::format("{}-{}-{}{}{}", source, kind, resolutions_in_name(stage),
                                            stage.aspect_buckets ? "-aspect" : "",
                                            stage.horizontal_flip ? "-mirrored" : "");
}

}  // namespace

int64_t latent_record_bytes(const run::RunConfig& run, const run::StageConfig& stage,
                            const models::VaeConfig& vae) {
  const int64_t element = run.features.latent_dtype == data::LatentDtype::kFloat16 ? 2 : 4;
  int64_t pixels = 0;
  const auto each = stage.at_each_resolution();
  for (const auto& one : each) {
    const int64_t side = one.resolution / vae.downscale();
    pixels += side * side;
  }
  return 2 * vae.latent_channels * pixels * element * (stage.horizontal_flip ? 2 : 1) / int64_t(each.size());
}

int64_t teacher_record_bytes(const run::StageConfig& stage, const TeacherSizes& sizes) {
  constexpr int64_t kHalfBytes = 2;
  return sizes.channels * sizes.side * sizes.side * kHalfBytes * (stage.horizontal_flip ? 2 : 1);
}

fs::path latent_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                           const std::string& source) {
  return image_set_folder(run, stage, source,
                          stage.encoded_control.is_on() ? stage.encoded_control.name() : "latents");
}

fs::path teacher_set_folder(const run::RunConfig& run, const run::StageConfig& stage,
                            const std::string& source) {
  const fs::path teacher = fs::weakly_canonical(*stage.alignment.teacher);
  return image_set_folder(run, stage, source, "teacher-" + teacher.filename().string());
}

}  // namespace pixart::features
