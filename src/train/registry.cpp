#include "pixart/base/error.h"
#include "stage_model.h"

namespace pixart::train {

StageModel make_stage_model(RunContext& run, const StageConfig& stage) {
  using Make = StageModel (*)(RunContext&, const StageConfig&);
  static const std::map<std::string, Make> makers = {
      {"autoencoder", make_autoencoder_stage},
      {"class_conditional", make_class_stage},
      {"text_conditional", make_text_stage},
  };
  const auto found = makers.find(stage.objective);
  PIXART_CHECK(found != makers.end(), "objective {} passed the config check", stage.objective);
  return found->second(run, stage);
}

}  // namespace pixart::train
