// Which rank this process is: read from what torchrun, Open MPI, SLURM or `pixart launch` put into the
// environment.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pixart::dist {

struct Launch {
  int rank = 0, world_size = 1;              // of all processes of the run
  int local_rank = 0, local_world_size = 1;  // of those on this machine; the GPU's number is local_rank
  std::string master_address;                // where the ranks find one another; empty with one rank
  int master_port = 0;
  // The starter itself serves the store at master_address (torchrun, `pixart launch`); else rank 0 does.
  bool store_is_served = false;
  int attempt = 0;                        // restarts by torchrun so far
  std::string how = "started by itself";  // for messages, e.g. "torchrun"
};

// Looked for in this order, the first whose variables are there is taken:
// - torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE (the last two may both be absent: one process a
// machine);
// - Open MPI: OMPI_COMM_WORLD_{RANK,SIZE,LOCAL_RANK,LOCAL_SIZE};
// - SLURM: only inside a step that srun started (SLURM_STEP_ID and SLURM_PROCID). The shell of salloc and the
// script of
//   sbatch have SLURM_NTASKS too and are one rank.
// MASTER_ADDR and MASTER_PORT say where to meet. SLURM's default is the first host of the step and a port
// made of the job's number; ranks of one machine meet on the loopback. Nothing found: one rank. Throws
// UserError with all variables and all problems when they contradict one another or some are missing.
Launch launch_from_environment();

using ReadVariable = std::function<std::optional<std::string>(const char*)>;
Launch launch_from(const ReadVariable& read);  // the same, of any source of variables

// SLURM's notations. "gpu[003-005,9],x1" -> "gpu003". Throws UserError if it cannot be read.
std::string first_host(const std::string& node_list);
// "4(x2),2" -> {4, 4, 2}: tasks of each node. Throws UserError.
std::vector<int> tasks_per_node(const std::string& text);

}  // namespace pixart::dist
