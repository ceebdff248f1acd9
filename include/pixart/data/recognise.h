// Tells from a file or folder which type of source it is.
#pragma once
#include <string>

namespace pixart::data {

// The type of a source with this path: the name of a file or glob, or what most files of a folder are,
// decides; a stray file does not. Throws UserError if it is not a source, or if a folder holds splits (train,
// test) that are not classes.
std::string recognised_type(const std::string& path);

}  // namespace pixart::data
