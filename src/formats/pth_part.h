#pragma once
#include <filesystem>
#include <string>

#include "pixart/formats/pth.h"

namespace pixart::formats {

// Of a PyTorch file whose top level is a dictionary with a dictionary under `wrapper`: that one, and only its
// tensors are read (a training checkpoint holds four times what is wanted). Otherwise the whole, unless it
// consists of other wrappers: then a UserError lists them.
PickleValue load_pth_part(const std::filesystem::path& path, const std::string& wrapper);

}  // namespace pixart::formats
