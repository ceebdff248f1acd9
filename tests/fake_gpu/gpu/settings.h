// What the environment asks of the fake GPU and the fake NCCL (README.md lists the variables).
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fake_gpu {

struct Settings {
  int devices = 8;                 // that the process sees
  std::vector<int> machine_gpus;   // their numbers in the machine
  int cuda = 13000;                // the version of CUDA that LibTorch was built for
  size_t bytes = size_t(4) << 30;  // memory of each device
  std::string report;              // prefix of the report's path; empty: no report
  bool races = true;
  int64_t fault_at_launch = -1;  // the device fails at this launch of this process; -1: never
};
const Settings& settings();

// "rank=1,call=3,how=hang" as a map; empty if the variable is not set. Ends the process if it is not of this
// form.
std::map<std::string, std::string> pairs_of(const char* variable);
int64_t number_of(const char* variable, int64_t otherwise);
int rank_of_process();  // RANK; 0 if it is not set

}  // namespace fake_gpu
