// .npz archives with one array of bytes, such as images.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

namespace pixart::formats {

// Writes an archive with one array of bytes, as np.savez(path, array) does: its name is arr_0. `produce` gives
// the bytes in row-major order to its argument, piece by piece; memory holds one piece.
using TakeBytes = std::function<void(std::string_view bytes)>;
void save_npz_of_bytes(const std::filesystem::path& path, const std::vector<int64_t>& shape,
                       const std::function<void(const TakeBytes&)>& produce);

// Whether save_npz_of_bytes() wrote the file: NumPy's archives begin otherwise.
bool is_npz_of_bytes(const std::filesystem::path& path);

}  // namespace pixart::formats
