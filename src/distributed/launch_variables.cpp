#include "pixart/distributed/launch_variables.h"

#include <charconv>
#include <limits>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "rank_process.h"
#include "run_token.h"

namespace pixart::distributed {

namespace {

constexpr int kDefaultPort = 29500;  // torchrun's
constexpr int64_t kMostRanks = 1'000'000;
// SLURM's numbers of steps that are not srun steps (batch script, interactive shell, ...) are above this.
constexpr int64_t kFirstSpecialStep = 0xFFFFFFF0;

// The variables of one starter that are set, and the problems with them.
class Variables {
 public:
  Variables(const ReadVariable& read, std::string how) : read_(read), how_(std::move(how)) {}

  std::optional<std::string> text(const char* name) {
    auto value = read_(name);
    if (value && value->empty()) value.reset();
    seen_ += fmt::format("{}{}{}", seen_.empty() ? "" : " ", name, value ? "=" + *value : " is not set");
    return value;
  }
  std::optional<int64_t> number(const char* name, int64_t lowest = 0, int64_t highest = kMostRanks) {
    const auto value = text(name);
    if (!value) return std::nullopt;
    int64_t parsed = 0;
    const auto [end, problem] = std::from_chars(value->data(), value->data() + value->size(), parsed);
    if (problem != std::errc() || end != value->data() + value->size() || parsed < lowest ||
        parsed > highest) {
      add(fmt::format("{} is '{}', expected a whole number from {} to {}", name, *value, lowest, highest));
      return std::nullopt;
    }
    return parsed;
  }
  // Of at least `fewest` bytes; no message shows it. "": not set.
  std::string secret(const char* name, size_t fewest) {
    const std::string value = read_(name).value_or("");
    if (!value.empty() && value.size() < fewest)
      add(
          fmt::format("{} has {} bytes, expected at least {}, for example those that `openssl rand -hex 32` "
                      "prints",
                      name, value.size(), fewest));
    return value;
  }
  int needed(const char* name, int64_t lowest = 0) {
    const size_t before = problems_.all().size();
    const auto value = number(name, lowest);
    if (!value && problems_.all().size() == before) add(fmt::format("{} is missing", name));
    return int(value.value_or(lowest));
  }
  const ReadVariable& reader() const { return read_; }
  void add(std::string problem) { problems_.add(std::move(problem)); }
  void throw_if_any() const {
    problems_.throw_if_any(fmt::format("launch variables of {} ({})", how_, seen_));
  }

 private:
  const ReadVariable& read_;
  const std::string how_;
  std::string seen_;
  Problems problems_;
};

bool is_set(const ReadVariable& read, const char* name) { return !read(name).value_or("").empty(); }

bool any_set(const ReadVariable& read, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (is_set(read, name)) return true;
  return false;
}

using JobNames = std::initializer_list<const char*>;

// Reads what only the ranks of this run know; `job` are the variables that name the job.
void find_token(Variables& variables, JobNames job, Launch& launch) {
  launch.token = variables.secret(kTokenVariable, kFewestTokenBytes);
  launch.token_is_derived = launch.token.empty();
  if (launch.token_is_derived) launch.token = derived_token(variables.reader(), job, launch.master_port);
}

// Reads the address where the ranks connect, and what they need to do so; `fallback` is the starter's own
// address ("" if none).
void find_master(Variables& variables, const std::string& fallback, int fallback_port, JobNames job,
                 Launch& launch) {
  if (launch.world_size <= 1) return;
  const bool one_machine = launch.local_world_size == launch.world_size;
  launch.master_address =
      variables.text("MASTER_ADDR").value_or(fallback.empty() && one_machine ? "127.0.0.1" : fallback);
  launch.master_port = int(variables.number("MASTER_PORT", 1, 65535).value_or(fallback_port));
  if (launch.master_address.empty())
    variables.add("MASTER_ADDR is missing: set it to the host name of rank 0's machine on all ranks");
  launch.interface = variables.reader()("PIXART_SOCKET_IFNAME").value_or("");
  find_token(variables, job, launch);
}

Launch started_by(const char* how) {
  Launch launch;
  launch.how = how;
  return launch;
}

void check_numbers(Variables& variables, const Launch& launch) {
  if (launch.rank >= launch.world_size)
    variables.add(fmt::format("rank {} of {} ranks (they count from 0)", launch.rank, launch.world_size));
  if (launch.local_rank >= launch.local_world_size)
    variables.add(
        fmt::format("local rank {} of {} ranks of this machine", launch.local_rank, launch.local_world_size));
  if (launch.local_world_size > launch.world_size)
    variables.add(
        fmt::format("{} ranks on this machine, but {} in all", launch.local_world_size, launch.world_size));
  if (launch.local_rank > launch.rank)
    variables.add(fmt::format("local rank {} is above rank {}", launch.local_rank, launch.rank));
}

Launch finished(Variables& variables, Launch launch) {
  check_numbers(variables, launch);
  variables.throw_if_any();
  return launch;
}

Launch from_torchrun(const ReadVariable& read) {
  Variables variables(read, "torchrun");
  Launch launch = started_by("torchrun");
  launch.rank = variables.needed("RANK");
  launch.world_size = variables.needed("WORLD_SIZE", 1);
  if (any_set(read, {"LOCAL_RANK", "LOCAL_WORLD_SIZE"})) {
    launch.local_rank = variables.needed("LOCAL_RANK");
    launch.local_world_size = variables.needed("LOCAL_WORLD_SIZE", 1);
  }
  find_master(variables, "", kDefaultPort, {"TORCHELASTIC_RUN_ID"}, launch);
  launch.attempt = int(variables.number("TORCHELASTIC_RESTART_COUNT").value_or(0));
  const std::string served = variables.text("TORCHELASTIC_USE_AGENT_STORE").value_or("");
  launch.store_is_served = served == "True" || served == "true" || served == "1";
  if (is_set(read, kDoorVariable)) launch.door = int(variables.number(kDoorVariable).value_or(-1));
  return finished(variables, launch);
}

Launch from_open_mpi(const ReadVariable& read) {
  Variables variables(read, "Open MPI");
  Launch launch = started_by("Open MPI");
  launch.rank = variables.needed("OMPI_COMM_WORLD_RANK");
  launch.world_size = variables.needed("OMPI_COMM_WORLD_SIZE", 1);
  launch.local_rank = variables.needed("OMPI_COMM_WORLD_LOCAL_RANK");
  launch.local_world_size = variables.needed("OMPI_COMM_WORLD_LOCAL_SIZE", 1);
  find_master(variables, "", kDefaultPort, {"PMIX_NAMESPACE"}, launch);
  return finished(variables, launch);
}

// Tasks of this node: exact from the step's list, otherwise from a number for all nodes.
int slurm_tasks_here(Variables& variables, int node, int world_size) {
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"}) {
    const auto text = variables.text(name);
    if (!text) continue;
    try {
      const auto tasks = tasks_per_node(*text);
      if (std::string_view(name) == "SLURM_NTASKS_PER_NODE" && tasks.size() == 1)
        return std::min(tasks[0], world_size);
      if (size_t(node) < tasks.size()) return tasks[size_t(node)];
      variables.add(fmt::format("{} names {} nodes, but this is node {}", name, tasks.size(), node));
    } catch (const UserError& error) {
      variables.add(error.what());
    }
    return world_size;
  }
  if (node == 0 && variables.number("SLURM_STEP_NUM_NODES").value_or(0) == 1) return world_size;
  variables.add("SLURM_STEP_TASKS_PER_NODE is missing");
  return world_size;
}

Launch from_slurm(const ReadVariable& read) {
  constexpr int64_t kHighest = std::numeric_limits<uint32_t>::max();
  Variables variables(read, "SLURM");
  Launch launch = started_by("SLURM");
  launch.rank = variables.needed("SLURM_PROCID");
  launch.world_size =
      variables.needed(is_set(read, "SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS", 1);
  launch.local_rank = variables.needed("SLURM_LOCALID");
  const int node = int(variables.number("SLURM_NODEID").value_or(0));
  launch.local_world_size = launch.world_size == 1 ? 1 : slurm_tasks_here(variables, node, launch.world_size);
  std::string host;
  if (launch.local_world_size < launch.world_size && !is_set(read, "MASTER_ADDR")) {
    const bool step = is_set(read, "SLURM_STEP_NODELIST");
    const auto list = variables.text(step ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST");
    try {
      host = first_host(list.value_or(""));
    } catch (const UserError& error) {
      variables.add(error.what());
    }
  }
  const int64_t job = variables.number("SLURM_JOB_ID", 0, kHighest).value_or(0);
  const int64_t step = variables.number("SLURM_STEP_ID", 0, kHighest).value_or(0);
  // Below the ports that Linux assigns automatically (from 32768), and different for each step.
  find_master(variables, host, int(20000 + (job + 997 * step) % 12000), {"SLURM_JOB_ID", "SLURM_STEP_ID"},
              launch);
  return finished(variables, launch);
}

// A step of srun, not the script of sbatch or the shell of salloc.
bool is_srun_step(const ReadVariable& read) {
  const std::string step = read("SLURM_STEP_ID").value_or("");
  if (step.empty() || !is_set(read, "SLURM_PROCID")) return false;
  int64_t number = 0;
  const auto [end, problem] = std::from_chars(step.data(), step.data() + step.size(), number);
  return problem != std::errc() || number < kFirstSpecialStep;
}

}  // namespace

Launch launch_from(const ReadVariable& read) {
  if (any_set(read, {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"})) return from_torchrun(read);
  // Checked before SLURM: processes that mpirun starts inside a SLURM job inherit the variables of mpirun's
  // own srun step.
  if (any_set(read, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"})) return from_open_mpi(read);
  if (is_srun_step(read)) return from_slurm(read);
  Launch launch;
  if (is_set(read, "SLURM_JOB_ID")) launch.how = "in a SLURM job, but not by srun";
  return launch;
}

Launch launch_from_environment() { return launch_from(environment_variable); }

}  // namespace pixart::distributed
