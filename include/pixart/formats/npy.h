// NumPy arrays: .npy files, and .npz archives of np.savez and np.savez_compressed. PixArt-alpha stores
// caption features in such archives (tools/extract_features.py of the official code). Nothing is unpickled.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace pixart::formats {

// A tensor on the CPU, contiguous in row-major order, whatever order the file has. Reads booleans, integers
// of 1 to 8 bytes, floats of 2 to 8 bytes and complex64, little-endian. Throws UserError naming file,
// position and reason. The size is checked against the file's size before memory is allocated.
at::Tensor load_npy(const std::filesystem::path& path);

// Every array of the archive by its name, without ".npy". Deflated data are inflated up to the size in the
// archive's directory, which may be 1,100 times the size in the file.
std::map<std::string, at::Tensor> load_npz(const std::filesystem::path& path);

}  // namespace pixart::formats
