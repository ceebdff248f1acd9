// `pixart report --export`: the values of runs for other programs.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::tools {

enum class ExportFormat { kCsv, kWandbOffline };
inline EnumWords<ExportFormat> enum_words(ExportFormat) {
  return {{"csv", ExportFormat::kCsv}, {"wandb-offline", ExportFormat::kWandbOffline}};
}

struct ExportRequest {
  std::optional<ExportFormat> format = {};
  std::string project = "pixart";
};

void add_export_options(CLI::App& command, ExportRequest& request);

// Exports each run to the folder `out`; tables of several runs to folders in it that have the runs' names.
void export_runs(const ExportRequest& request, const std::vector<std::string>& runs, const std::string& out);

}  // namespace pixart::tools
