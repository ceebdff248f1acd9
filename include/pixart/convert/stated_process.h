// What a model predicts, as its files say it: a diffusers scheduler, or the metadata of this program.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "pixart/diffusion/noise_schedule.h"
#include "pixart/formats/weights.h"

namespace pixart::convert {

// One line of JSON, as in the metadata of written files ("null": unknown), and back (throws UserError that
// begins with `subject`). Only what differs from the published process is written, after the prediction.
std::string process_text(const std::optional<diffusion::Process>& process);
std::optional<diffusion::Process> parse_process(const std::string& text, const std::string& subject);

// The class of diffusers' scheduler that belongs to a consistency model.
inline constexpr const char* kConsistencyScheduler = "LCMScheduler";

// The word of diffusers' prediction_type.
std::string diffusers_word(diffusion::Prediction prediction);

// The process of diffusers' scheduler_config.json. Throws UserError for one that this program does not have:
// other words, other betas, a shift that depends on the size of the image.
diffusion::Process read_scheduler(const std::filesystem::path& scheduler_config);

// The process that the metadata of a file state. Files of this program without an entry are from versions
// that knew only kEpsilon.
std::optional<diffusion::Process> process_in(const formats::Metadata& metadata, const std::string& subject);

// The process of the weights at `path`, a file or folder: from the scheduler of a pipeline folder around it,
// else from the metadata.
std::optional<diffusion::Process> stated_process(const std::filesystem::path& path,
                                                 const formats::Metadata& metadata);

// What the user of a command says about it; what is unset is as the files state it.
struct ChosenProcess {
  std::optional<diffusion::Prediction> prediction = {};
  bool zero_terminal_snr = false;  // true: it has it
  std::optional<double> shift = {};
};

// `stated`, with what was chosen in its place. Another prediction than the stated one begins without zero
// terminal SNR and without a shift, and is not that of a consistency model. Unset where neither says the prediction. Throws UserError, which begins
// with `subject`, for a choice that has no effect with the prediction.
std::optional<diffusion::Process> process_with(const ChosenProcess& chosen,
                                               const std::optional<diffusion::Process>& stated,
                                               const std::string& subject);

// The same. Throws UserError that asks for --prediction where neither says it.
diffusion::Process known_process(const ChosenProcess& chosen, const std::optional<diffusion::Process>& stated,
                                 const std::string& subject);

}  // namespace pixart::convert
