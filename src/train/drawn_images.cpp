#include "drawn_images.h"

#include <ATen/ATen.h>

#include <map>
#include <set>
#include <sstream>

#include "initial_weights.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
#include "pixart/features/inputs.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/run/stopped.h"
#include "pixart/sample/generate.h"
#include "stage_prompts.h"

namespace pixart::train {
namespace {

// Drawn together, whatever is missing, because the bits of an image may depend on the others.
constexpr int64_t kImagesOfAGroup = 4;

// Images of one source, by group.
struct MissingImages {
  const data::SourceConfig* source;
  std::map<int64_t, std::set<int64_t>> groups = {};
  int64_t count = 0;
};

// Rank 0 looks, so that all ranks see the same.
std::string agreed_numbers(distributed::Communicator& ranks, const data::SourceConfig& source,
                           const std::string& phase) {
  std::string text;
  distributed::on_first_rank(ranks, phase, [&] {
    for (const int64_t number : data::images_to_draw(source)) text += std::to_string(number) + " ";
  });
  return distributed::broadcast_string(ranks, text, 0, phase);
}

std::vector<MissingImages> missing_images(features::RunContext& run, const run::StageConfig& stage,
                                          const std::string& phase) {
  std::vector<MissingImages> result;
  std::set<std::string> seen;
  for (const auto& part : stage.parts()) {
    const auto& source = run.config.source(part.source);
    if (source.draw == 0 || !seen.insert(source.name).second) continue;
    MissingImages missing{.source = &source};
    std::istringstream numbers(agreed_numbers(run.ranks, source, phase));
    for (int64_t i = 0; numbers >> i; ++missing.count) missing.groups[i / kImagesOfAGroup].insert(i);
    if (missing.count > 0) result.push_back(std::move(missing));
  }
  return result;
}

// The model that the stage starts from.
class StartModel {
 public:
  StartModel(features::RunContext& run, const run::StageConfig& stage)
      : run_(run),
        stage_(stage),
        codec_(features::load_codec(run.config, run.device)),
        state_({.dtype = at::kFloat, .device = run.device}),
        model_(nn::Scope(state_), features::transformer_config(run.config, stage, codec_.config(),
                                                               features::condition_sizes(run, stage))) {
    initialize_transformer(run, stage, model_, state_);
    model_ = model_.with(features::execution_in(stage.precision));
  }

  std::vector<Image> draw(const std::string& prompt, int64_t group,
                          const std::function<bool()>& asked_to_stop) const {
    sample::GenerateOptions options{stage_.sampler()};
    options.seed = run_.stage_seed(stage_);
    options.first_index = group * kImagesOfAGroup;
    options.asked_to_stop = asked_to_stop;
    sample::ToDraw what;
    what.condition = sample::condition_of(
        prompt_features(run_).encode(std::vector<std::string>(size_t(kImagesOfAGroup), prompt)));
    what.process = stage_.process();
    return sample::generate(model_, codec_, what, run_.device, options);
  }

 private:
  features::RunContext& run_;
  const run::StageConfig& stage_;
  features::LatentCodec codec_;
  nn::StateDict state_;
  models::Transformer model_;
};

void draw_group(const StartModel& model, const MissingImages& missing, int64_t group,
                const std::function<bool()>& asked_to_stop) {
  const auto images = model.draw(missing.source->prompt, group, asked_to_stop);
  if (int64_t(images.size()) < kImagesOfAGroup) return;  // a stop was requested
  for (const int64_t number : missing.groups.at(group))
    write_file_atomically(data::drawn_image(*missing.source, number),
                          formats::encode_png(images[size_t(number % kImagesOfAGroup)]));
}

void draw_all(features::RunContext& run, const run::StageConfig& stage) {
  const std::string phase = "drawing the images that the sources of stage " + stage.name + " lack";
  const auto all = missing_images(run, stage, phase);
  if (all.empty()) return;
  std::unique_ptr<StartModel> model;
  distributed::all_together(run.ranks, phase, [&] {
    model = std::make_unique<StartModel>(run, stage);
    for (const auto& missing : all) create_folders(missing.source->path);
  });
  for (const auto& missing : all)
    log::info("source {}: {} of {} images are drawn with \"{}\" into {}", missing.source->name, missing.count,
              missing.source->draw, missing.source->prompt, missing.source->path.string());
  int64_t turn = 0;
  const auto draw_own = [&](const std::function<bool()>& asked) {
    for (const auto& missing : all)
      for (const auto& [group, numbers] : missing.groups) {
        if (turn++ % run.ranks.world_size() != run.ranks.rank()) continue;
        if (asked()) return;
        draw_group(*model, missing, group, asked);
      }
  };
  if (distributed::together_until(run.ranks, phase, stop_requested, draw_own))
    throw run::stopped("stage " + stage.name + " had not begun");
}

}  // namespace

void draw_missing_images(features::RunContext& run, const run::StageConfig& stage) {
  if (!stage.info().reads_captions) return;
  draw_all(run, stage);
  for (const auto& part : stage.parts())  // they are opened again, with all their images
    if (run.config.source(part.source).draw > 0) run.sources.erase(part.source);
}

}  // namespace pixart::train
