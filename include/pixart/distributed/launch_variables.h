// Determines the rank of this process from the environment variables of torchrun, Open MPI, SLURM or `pixart
// launch`.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pixart::distributed {

struct Launch {
  int rank = 0, world_size = 1;              // of all processes of the run
  int local_rank = 0, local_world_size = 1;  // of those on this machine; the GPU's number is local_rank
  std::string master_address;                // where the ranks connect; empty with one rank
  int master_port = 0;
  // true: torchrun serves its store there, where rank 0 leaves a note; false: rank 0 listens there.
  bool store_is_served = false;
  // Descriptor of a socket that listens there, which rank 0 inherits from `pixart launch`; -1: none.
  int door = -1;
  // Interfaces on which the ranks of several machines listen ("ib0,eth0": the first one that has an address);
  // "": the one over which this machine reaches master_address.
  std::string interface;
  // What only the ranks of this run know. They prove to each other that they know it, without sending it.
  std::string token;
  bool token_is_derived = false;          // from the job's id, which others may know
  int attempt = 0;                        // restarts by torchrun so far
  std::string how = "started by itself";  // for messages, e.g. "torchrun"
};

// Searches in this order and takes the first starter whose variables are set:
// - torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE (the last two may both be absent: one process
//   per machine);
// - Open MPI: OMPI_COMM_WORLD_{RANK,SIZE,LOCAL_RANK,LOCAL_SIZE};
// - SLURM: only inside a step that srun started (SLURM_STEP_ID and SLURM_PROCID). The shell of salloc and the
//   script of sbatch have SLURM_NTASKS too, but are one rank.
// MASTER_ADDR and MASTER_PORT give the address where the ranks connect. With SLURM, the default is the first
// host of the step and a port computed from the job's number; ranks of one machine use the loopback. Without
// such variables: one rank.
//
// PIXART_RUN_TOKEN is the token: the same secret text of at least 16 bytes on all ranks, which no message
// shows. Without it, it follows from the id of the job (TORCHELASTIC_RUN_ID, PMIX_NAMESPACE, or SLURM_JOB_ID
// and SLURM_STEP_ID) and the port. PIXART_SOCKET_IFNAME is the interface. Throws UserError with all variables and all problems if variables contradict one
// another or are missing.
Launch launch_from_environment();

using ReadVariable = std::function<std::optional<std::string>(const char*)>;
Launch launch_from(const ReadVariable& read);  // the same, for any source of variables

// The first host in SLURM's notation: "gpu[003-005,9],x1" -> "gpu003". Throws UserError for other text.
std::string first_host(const std::string& node_list);
// The tasks of each node in SLURM's notation: "4(x2),2" -> {4, 4, 2}. Throws UserError for other text.
std::vector<int> tasks_per_node(const std::string& text);

}  // namespace pixart::distributed
