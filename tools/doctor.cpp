#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/gpu_driver.h"
#include "pixart/base/machine.h"
#include "pixart/base/print.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/nn/device.h"
#include "pixart/nn/kernel_problem.h"
#include "pixart/optim/adamw.h"

namespace pixart::tools {
using nlohmann::ordered_json;

namespace {

struct Finding {
  std::string what, value;
  bool is_there = true;
  std::string remedy = {};  // the command that mends it; empty if nothing needs to be done
};

// A shared library that is loaded at run time, if it exists.
class Library {
 public:
  explicit Library(const char* name) : handle_(::dlopen(name, RTLD_LAZY | RTLD_LOCAL)) {}
  explicit operator bool() const { return handle_ != nullptr; }
  template <class Function>
  Function* get(const char* name) const {
    return handle_ == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(handle_, name));
  }

 private:
  void* handle_;  // stays open: NVML and NCCL start threads
};

// `gpu`: that of this machine, if it is usable.
Finding kernels(const std::optional<c10::Device>& gpu) {
#ifdef PIXART_WITH_CUDA
  std::string problem = gpu ? optim::adamw_kernel_problem(*gpu) : "";
  if (gpu && problem.empty()) problem = nn::fused_kernel_problem(*gpu);
  if (!problem.empty())
    return {
        "CUDA kernels", "compiled, but the GPU cannot run them: " + problem, false,
        "compile with an nvcc of the major version of LibTorch's CUDA, and update the driver to one for it"};
  return {"CUDA kernels", gpu ? "compiled; the GPU runs them" : "compiled"};
#else
  (void)gpu;
  return {"CUDA kernels", "built without them: no nvcc was found", false,
          "install a CUDA toolkit of the major version of LibTorch's CUDA and run scripts/build.sh again"};
#endif
}

// Loads libtorch_cuda.
Finding libtorch() {
  const std::string problem = nn::load_cuda();
  if (!problem.empty()) return {"LibTorch", fmt::format("{}, for the CPU only ({})", TORCH_VERSION, problem)};
  const int cuda = nn::cuda_version();
  return {"LibTorch",
          cuda == 0 ? TORCH_VERSION : fmt::format("{} for CUDA {}", TORCH_VERSION, cuda_name(cuda))};
}

Finding driver() {
  if (!gpu_driver_present())
    return {"driver", "NVIDIA's driver is not here; training on the CPU needs none", false,
            "install NVIDIA's driver, 580 or newer for CUDA 13, 525 or newer for CUDA 12"};
  const auto version = gpu_driver_version();
  if (!version) return {"driver", "is here; its version is not known"};
  const int newest = newest_cuda_of_driver(*version);
  const std::string runs =
      newest == 0 ? "too old for CUDA 11" : fmt::format("runs CUDA {} and older", newest);
  const bool loaded = nn::load_cuda().empty();
  const std::string problem = loaded ? gpu_driver_problem(nn::cuda_version()) : "";
  if (problem.empty()) return {"driver", fmt::format("{}: {}", *version, runs)};
  return {"driver", fmt::format("{}: {}", *version, runs), false, problem};
}

Finding gpu(std::optional<c10::Device>& device) {
  try {
    device = nn::select_device("cuda");
    return {"GPU", "usable"};
  } catch (const UserError& error) {
    return {"GPU", error.what(), false,
            gpu_driver_present() ? "see the line of the driver, CUDA_VISIBLE_DEVICES and nvidia-smi"
                                 : "see the line of the driver"};
  }
}

// Names, memory and driver, from NVML.
std::vector<Finding> nvml() {
  constexpr const char* kPackage = "it comes with NVIDIA's driver: apt-get install libnvidia-ml1";
  const Library library("libnvidia-ml.so.1");
  auto* init = library.get<int()>("nvmlInit_v2");
  auto* version = library.get<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
  auto* count = library.get<int(unsigned*)>("nvmlDeviceGetCount_v2");
  auto* handle = library.get<int(unsigned, void**)>("nvmlDeviceGetHandleByIndex_v2");
  auto* name = library.get<int(void*, char*, unsigned)>("nvmlDeviceGetName");
  if (init == nullptr || version == nullptr || count == nullptr || handle == nullptr || name == nullptr)
    return {{"NVML", "not found: runs cannot measure their power", false, kPackage}};
  char text[96] = "";
  unsigned devices = 0;
  if (init() != 0 || version(text, sizeof text) != 0 || count(&devices) != 0)
    return {{"NVML", "found, but it cannot reach the driver", false, "nvidia-smi says why"}};
  std::vector<Finding> findings = {{"NVML", fmt::format("driver {}, {} GPUs", text, devices)}};
  for (unsigned i = 0; i < devices; ++i) {
    void* device = nullptr;
    if (handle(i, &device) == 0 && name(device, text, sizeof text) == 0)
      findings.push_back({fmt::format("GPU {}", i), text});
  }
  return findings;
}

// libtorch_cuda has loaded the NCCL that it brings.
Finding nccl() {
  const Library library("libnccl.so.2");
  int number = 0;
  auto* version = library.get<int(int*)>("ncclGetVersion");
  if (version == nullptr || version(&number) != 0)
    return {"NCCL", "not found: several GPUs cannot train together", false,
            "scripts/setup.sh (LibTorch for CUDA brings it), or apt-get install libnccl2"};
  return {"NCCL", fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100)};
}

Finding folder(const char* what, const char* path, const char* package, const char* used_for) {
  if (std::filesystem::exists(path)) return {what, path};
  return {what, fmt::format("not installed ({})", used_for), false,
          std::string("apt-get install ") + package};
}

Finding disk() {
  const auto space = std::filesystem::space(".");
  return {"disk here", human_bytes(space.available) + " free"};
}

// A launcher's variables in the environment, and the ranks that training would take from them.
std::vector<Finding> launch() {
  std::vector<std::string> seen;
  for (const char* name : {"RANK",
                           "WORLD_SIZE",
                           "LOCAL_RANK",
                           "LOCAL_WORLD_SIZE",
                           "MASTER_ADDR",
                           "MASTER_PORT",
                           "OMPI_COMM_WORLD_RANK",
                           "OMPI_COMM_WORLD_SIZE",
                           "OMPI_COMM_WORLD_LOCAL_RANK",
                           "SLURM_JOB_ID",
                           "SLURM_STEP_ID",
                           "SLURM_PROCID",
                           "SLURM_NTASKS",
                           "SLURM_LOCALID",
                           "CUDA_VISIBLE_DEVICES",
                           "PIXART_SOCKET_IFNAME",
                           "NCCL_SOCKET_IFNAME",
                           "NCCL_IB_HCA",
                           "NCCL_IB_DISABLE",
                           "NCCL_DEBUG",
                           "OMP_NUM_THREADS"})
    if (const auto value = environment_variable(name)) seen.push_back(std::string(name) + "=" + *value);
  if (environment_variable("PIXART_RUN_TOKEN")) seen.push_back("PIXART_RUN_TOKEN=(secret)");
  std::vector<Finding> findings = {
      {"variables", seen.empty() ? "no launcher's variables are set" : join(seen, " ")}};
  try {
    const auto launch = distributed::launch_from_environment();
    findings.push_back(
        {"ranks", fmt::format("rank {} of {}, {}", launch.rank, launch.world_size, launch.how)});
  } catch (const UserError& error) {
    findings.push_back({"ranks", error.what(), false,
                        "unset these variables, or start with pixart launch, torchrun or srun"});
  }
  return findings;
}

std::string precision() {
  switch (cpu_bfloat16()) {
    case CpuBfloat16::kAmx:
      return "fp32; this processor multiplies bf16 faster (AMX)";
    case CpuBfloat16::kAvx512:
      return "fp32; this processor multiplies bf16 about twice as fast (AVX512-BF16)";
    case CpuBfloat16::kNone:
      break;
  }
  return "fp32; bf16 is about three times slower: this processor has neither AMX nor AVX512-BF16";
}

std::vector<Finding> findings() {
  std::vector<Finding> all = {{"pixart", version()}, libtorch()};
  all.push_back({"CPU", fmt::format("{} cores usable, {} threads, kernels {}", physical_cores(),
                                    at::get_num_threads(), at::get_cpu_capability())});
  all.push_back({"memory", fmt::format("{}, {} of it free", human_bytes(total_memory_bytes()),
                                       human_bytes(available_memory_bytes()))});
  all.push_back(disk());
  all.push_back({"precision", precision()});
  all.push_back(driver());
  std::optional<c10::Device> device;
  all.push_back(gpu(device));
  all.push_back(kernels(device));
  for (auto& finding : nvml()) all.push_back(std::move(finding));
  all.push_back(nccl());
  for (auto& finding : launch()) all.push_back(std::move(finding));
  all.push_back(folder("WordNet", "/usr/share/wordnet", "wordnet-base", "pixart data stats"));
  all.push_back(
      folder("stamps", "/usr/share/tuxpaint/stamps", "tuxpaint-stamps-default", "configs/demo/stamps.yaml"));
  all.push_back(folder("Fashion-MNIST", "/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist",
                       "configs/demo/fashion.yaml"));
  return all;
}

void print(const std::vector<Finding>& all) {
  for (const auto& finding : all) {
    print_line("{:<18} {}", finding.what, finding.value);
    if (!finding.remedy.empty()) print_line("{:<18}   to mend: {}", "", finding.remedy);
  }
}

void print_findings_json(const std::vector<Finding>& all) {
  ordered_json result = ordered_json::array();
  for (const auto& finding : all) {
    ordered_json entry = {{"what", finding.what}, {"value", finding.value}, {"is_there", finding.is_there}};
    if (!finding.remedy.empty()) entry["remedy"] = finding.remedy;
    result.push_back(std::move(entry));
  }
  pixart::print_json(result.dump(1, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  auto* command = app.add_subcommand(
      "doctor", "Show what this machine has, what is missing, and the commands that mend it.");
  command->add_flag("--json", *json, "print JSON");
  command->footer("Examples:\n  pixart doctor\n  pixart doctor --json");
  command->callback([json] { *json ? print_findings_json(findings()) : print(findings()); });
}

}  // namespace pixart::tools
