// Loads the plugin that reads Parquet files.
#pragma once
#include "parquet_plugin.h"

namespace pixart::data {

// The plugin, which is loaded at the first call from the folder of the program, or from where the system looks for
// libraries. Throws UserError that says what to do if it is not there.
const ParquetPlugin& parquet_plugin();

}  // namespace pixart::data
