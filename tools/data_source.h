// Data sources on the command line: sources of a run file, or a folder or file.
#pragma once
#include <CLI/CLI.hpp>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pixart/data/check.h"
#include "pixart/data/dataset.h"

namespace pixart::tools {

struct SourceArguments {
  std::string where, source, type;
  std::vector<std::string> settings;
};

void add_source_options(CLI::App& command, const std::shared_ptr<SourceArguments>& arguments);

// All sources of a run file, or the chosen one; or one source for a folder, file or glob, whose type is
// recognised unless it is given. Throws UserError.
std::vector<data::SourceConfig> chosen_sources(const SourceArguments& arguments);
data::SourceConfig chosen_source(const SourceArguments& arguments);  // there must be exactly one

// The indexes of a run file are in its features folder if there is one, others in the cache folder of the user.
data::IndexPlace index_place(const SourceArguments& arguments);

// text_encoder.max_tokens of the run file; for a folder or file its default.
int64_t most_tokens(const SourceArguments& arguments);

// How the stages of the run file cut the images of a source; empty for a folder or file.
std::vector<data::CheckShape> stage_shapes(const SourceArguments& arguments, const std::string& source);

// [{"opening", "captions", "share", "example", "lead_in", "warning"}] of the first words that captions share.
nlohmann::ordered_json json_of_openings(const std::vector<data::Opening>& openings);

}  // namespace pixart::tools
