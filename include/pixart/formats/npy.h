// NumPy arrays: .npy files, and .npz archives of np.savez and np.savez_compressed. PixArt-alpha stores
// caption features in such archives (tools/extract_features.py of the official code); programs that compute
// FID store the statistics of a data set in them. Nothing is unpickled.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pixart::formats {

// A tensor on the CPU, contiguous in row-major order, whatever order the file has. Reads booleans, integers
// of 1 to 8 bytes, floats of 2 to 8 bytes and complex64, little-endian. Throws UserError naming file,
// position and reason. The size is checked against the file's size before memory is allocated.
at::Tensor load_npy(const std::filesystem::path& path);

// Every array of the archive that is wanted (by default all), by its name without ".npy". Deflated data are
// inflated up to the size in the archive's directory, which may be 1,100 times the size in the file.
using IsWanted = std::function<bool(const std::string& name)>;
std::map<std::string, at::Tensor> load_npz(const std::filesystem::path& path, const IsWanted& is_wanted = {});

// Writes an archive like np.savez, atomically: bytes, signed integers of 4 and 8 bytes, floats of 4 and 8
// bytes. Tensors are moved to the CPU and made contiguous.
void save_npz(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& arrays);

}  // namespace pixart::formats
