#include "pixart/formats/pth.h"
#include "pixart/base/error.h"
namespace pixart::formats {
PickleValue load_pth(const std::filesystem::path& path) { throw UserError(path.string() + ": TEMPORARY"); }
std::vector<std::pair<std::string, at::Tensor>> flatten_tensors(const PickleValue&, const std::string&) { return {}; }
}
