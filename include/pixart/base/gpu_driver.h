// NVIDIA's driver: whether it is here, and which programs it runs. Nothing of CUDA is loaded.
#pragma once
#include <optional>
#include <string>

namespace pixart {

// /dev/nvidiactl exists (or /dev/dxg, in WSL). The environment variable PIXART_DRIVER_FILE names another
// file.
bool gpu_driver_present();

// "535.129.03"; nullopt if the driver does not tell. PIXART_DRIVER_VERSION_FILE names the file that is read
// in place of /proc/driver/nvidia/version.
std::optional<std::string> gpu_driver_version();

// A version of CUDA as its headers number it: 12080 is 12.8.
std::string cuda_name(int version);  // "12.8"

// The newest major version of CUDA whose programs a driver of this version runs; 0 if it is older than all
// that are known. NVIDIA, "CUDA Compatibility", minor version compatibility: 13 from 580, 12 from 525, 11
// from 450.
int newest_cuda_of_driver(const std::string& driver);

// Why this machine's driver does not run programs of a CUDA version, and what to do; "" if it runs them, or
// its version is not known.
std::string gpu_driver_problem(int cuda);

}  // namespace pixart
