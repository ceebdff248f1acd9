// What the exports have in common.
#pragma once
#include <string>
#include <vector>

#include "event_rows.h"

namespace pixart::report {

// Throws UserError if `run` is not a folder, or has no line of a stage.
EventIndex events_to_export(const std::filesystem::path& run);

std::vector<std::string> remarks_on(const EventIndex& index);

// A file name for each stage, without characters that a file system or a shell may take for something else. All differ.
std::vector<std::string> file_names(const EventIndex& index);

}  // namespace pixart::report
