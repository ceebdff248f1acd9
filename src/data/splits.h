// Splits (train, test, validation) of a data set, and the parts of one, as the names of its files tell them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace pixart::data {

bool is_split_name(const std::string& name);  // of a folder: train, test, val, ... in any case

// `files` were found in `folder`, which the config named. Throws one UserError where they are of several splits, one of
// which is usually kept from training, or where parts are missing (train-00000-of-00002.parquet alone). A glob in
// place of the folder says which files are meant, and is not checked.
void require_one_whole_split(const std::string& subject, const std::filesystem::path& folder,
                             const std::vector<std::filesystem::path>& files);

}  // namespace pixart::data
