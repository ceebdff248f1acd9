// Reads a file of scores and decides about the rows of a source.
#pragma once
#include <memory>

#include "pixart/data/dataset.h"
#include "pixart/data/row_selection.h"

namespace pixart::data {

// What config.scores says about the rows; logs how many are kept. Throws UserError that names file and line of up
// to twenty problems, and if no row is kept. Needs, while it reads, about 34 bytes for each row.
std::shared_ptr<const RowSelection> read_scores(const SourceConfig& config, const Dataset& dataset);

}  // namespace pixart::data
