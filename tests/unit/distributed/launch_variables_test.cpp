// Launch variables of torchrun, Open MPI and SLURM, right, wrong and half set.
#include "pixart/distributed/launch_variables.h"

#include <gmock/gmock.h>

#include <map>

#include "pixart/base/error.h"

namespace pixart::distributed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Environment = std::map<std::string, std::string>;

Launch launch_in(const Environment& environment) {
  return launch_from([&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

std::string problem_in(const Environment& environment) {
  try {
    launch_in(environment);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    return error.what();
  }
  return "no problem";
}

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

Environment without(Environment environment, const std::string& name) {
  environment.erase(name);
  return environment;
}

std::string summary(const Launch& launch) {
  return fmt::format("{}/{} {}/{} {}:{}", launch.rank, launch.world_size, launch.local_rank,
                     launch.local_world_size, launch.master_address, launch.master_port);
}

const Environment kTorchrun = {{"RANK", "5"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "node-1"},
                               {"MASTER_PORT", "29400"}};
const Environment kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "3"},
                              {"OMPI_COMM_WORLD_SIZE", "4"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "3"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
const Environment kSrun = {{"SLURM_JOB_ID", "123456"},
                           {"SLURM_STEP_ID", "0"},
                           {"SLURM_PROCID", "9"},
                           {"SLURM_NTASKS", "10"},
                           {"SLURM_STEP_NUM_TASKS", "10"},
                           {"SLURM_LOCALID", "1"},
                           {"SLURM_NODEID", "2"},
                           {"SLURM_STEP_TASKS_PER_NODE", "4(x2),2"},
                           {"SLURM_STEP_NODELIST", "gpu[003-005]"},
                           {"SLURM_JOB_NODELIST", "gpu[001-005]"}};

TEST(LaunchVariables, NothingSetIsOneRank) {
  EXPECT_EQ(summary(launch_in({})), "0/1 0/1 :0");
  EXPECT_EQ(launch_in({}).how, "started by itself");
  // A user's own settings without ranks do not make a run of several.
  EXPECT_EQ(summary(launch_in({{"MASTER_ADDR", "x"}, {"MASTER_PORT", "1"}})), "0/1 0/1 :0");
  EXPECT_EQ(summary(launch_in({{"RANK", ""}, {"WORLD_SIZE", ""}})), "0/1 0/1 :0");
}

TEST(LaunchVariables, Torchrun) {
  const Launch launch = launch_in(kTorchrun);
  EXPECT_EQ(summary(launch), "5/8 1/4 node-1:29400");
  EXPECT_EQ(launch.how, "torchrun");
  EXPECT_FALSE(launch.store_is_served);
  const auto served = launch_in(
      with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"TORCHELASTIC_RESTART_COUNT", "2"}}));
  EXPECT_TRUE(served.store_is_served);
  EXPECT_EQ(served.attempt, 2);
}

TEST(LaunchVariables, TheTokenIsThatOfTheVariable) {
  const std::string token = "0123456789abcdef";
  for (const auto& starter : {kTorchrun, kOpenMpi, kSrun}) {
    const auto launch = launch_in(with(starter, {{"MASTER_ADDR", "node-1"}, {"PIXART_RUN_TOKEN", token}}));
    EXPECT_EQ(launch.token, token);
    EXPECT_FALSE(launch.token_is_derived);
  }
}

TEST(LaunchVariables, ATokenThatIsTooShortIsRefusedAndNotShown) {
  const std::string problem = problem_in(with(kTorchrun, {{"PIXART_RUN_TOKEN", "0123456789abcde"}}));
  EXPECT_THAT(problem, HasSubstr("PIXART_RUN_TOKEN has 15 bytes, expected at least 16"));
  EXPECT_THAT(problem, Not(HasSubstr("0123456789")));
  const std::string other =
      problem_in(with(kTorchrun, {{"RANK", "9"}, {"PIXART_RUN_TOKEN", "0123456789abcdef"}}));
  EXPECT_THAT(other, Not(HasSubstr("0123456789")));
}

// All ranks of a job derive the same token, other jobs another one.
TEST(LaunchVariables, WithoutATokenTheJobGivesOne) {
  const auto token_of = [](const Environment& environment) {
    const auto launch = launch_in(environment);
    EXPECT_TRUE(launch.token_is_derived);
    EXPECT_FALSE(launch.token.empty());
    return launch.token;
  };
  EXPECT_EQ(token_of(kSrun), token_of(with(kSrun, {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}})));
  EXPECT_EQ(token_of(kTorchrun), token_of(with(kTorchrun, {{"RANK", "1"}})));
  const std::pair<Environment, Environment> others[] = {
      {kSrun, {{"SLURM_JOB_ID", "123457"}}},
      {kSrun, {{"SLURM_STEP_ID", "1"}}},
      {kTorchrun, {{"TORCHELASTIC_RUN_ID", "another"}}},
      {kTorchrun, {{"MASTER_PORT", "29401"}}},
      {with(kOpenMpi, {{"MASTER_ADDR", "a"}}), {{"PMIX_NAMESPACE", "another"}}}};
  for (const auto& [job, other] : others)
    EXPECT_NE(token_of(job), token_of(with(job, other))) << other.begin()->first;
}

TEST(LaunchVariables, DoorAndInterface) {
  EXPECT_EQ(launch_in(kTorchrun).door, -1);
  EXPECT_EQ(launch_in(with(kTorchrun, {{"PIXART_RENDEZVOUS_SOCKET", ""}})).door, -1);
  EXPECT_EQ(launch_in(with(kTorchrun, {{"PIXART_RENDEZVOUS_SOCKET", "7"}})).door, 7);
  EXPECT_EQ(launch_in(kTorchrun).interface, "");
  EXPECT_EQ(launch_in(with(kSrun, {{"PIXART_SOCKET_IFNAME", "ib0,eth0"}})).interface, "ib0,eth0");
}

TEST(LaunchVariables, TorchrunWinsOverWhatItRunsIn) {
  EXPECT_EQ(launch_in(with(kSrun, kTorchrun)).how, "torchrun");
  EXPECT_EQ(launch_in(with(kOpenMpi, kTorchrun)).how, "torchrun");
}

TEST(LaunchVariables, OneProcessAMachineNeedsNoLocalRank) {
  const auto pod = without(without(kTorchrun, "LOCAL_RANK"), "LOCAL_WORLD_SIZE");
  EXPECT_EQ(summary(launch_in(pod)), "5/8 0/1 node-1:29400");
}

TEST(LaunchVariables, OneMachineMeetsOnTheLoopback) {
  EXPECT_EQ(summary(launch_in(
                {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}})),
            "1/2 1/2 127.0.0.1:29500");
  EXPECT_EQ(summary(launch_in(kOpenMpi)), "3/4 3/4 127.0.0.1:29500");
}

TEST(LaunchVariables, HalfSetNamesThemAll) {
  const std::string half = problem_in({{"RANK", "1"}, {"LOCAL_RANK", "0"}});
  for (const char* part :
       {"torchrun", "RANK=1", "LOCAL_RANK=0", "WORLD_SIZE is missing", "LOCAL_WORLD_SIZE is missing"})
    EXPECT_THAT(half, HasSubstr(part));
  EXPECT_THAT(problem_in(without(kTorchrun, "LOCAL_WORLD_SIZE")), HasSubstr("LOCAL_WORLD_SIZE is missing"));
  EXPECT_THAT(problem_in(without(kTorchrun, "MASTER_ADDR")), HasSubstr("MASTER_ADDR is missing"));
  EXPECT_THAT(problem_in(without(kOpenMpi, "OMPI_COMM_WORLD_RANK")),
              HasSubstr("OMPI_COMM_WORLD_RANK is missing"));
  EXPECT_THAT(problem_in(without(kSrun, "SLURM_LOCALID")), HasSubstr("SLURM_LOCALID is missing"));
}

TEST(LaunchVariables, ContradictionsAreRefused) {
  EXPECT_THAT(problem_in(with(kTorchrun, {{"RANK", "8"}})), HasSubstr("rank 8 of 8 ranks"));
  EXPECT_THAT(problem_in(with(kTorchrun, {{"LOCAL_RANK", "4"}})), HasSubstr("local rank 4 of 4"));
  EXPECT_THAT(problem_in(with(kTorchrun, {{"RANK", "0"}})), HasSubstr("local rank 1 is above rank 0"));
  EXPECT_THAT(problem_in(with(kTorchrun, {{"LOCAL_WORLD_SIZE", "9"}})),
              HasSubstr("9 ranks on this machine, but 8 in all"));
  const std::string both = problem_in(with(kTorchrun, {{"RANK", "9"}, {"LOCAL_RANK", "7"}}));
  EXPECT_THAT(both, HasSubstr("rank 9 of 8"));
  EXPECT_THAT(both, HasSubstr("local rank 7 of 4"));
}

TEST(LaunchVariables, NumbersAreWholeAndInRange) {
  for (const char* wrong : {"-1", "1.5", "two", " 1", "1 ", "99999999999999999999"})
    EXPECT_THAT(problem_in(with(kTorchrun, {{"RANK", wrong}})),
                HasSubstr(fmt::format("RANK is '{}'", wrong)));
  EXPECT_THAT(problem_in(with(kTorchrun, {{"WORLD_SIZE", "0"}})), HasSubstr("WORLD_SIZE is '0'"));
  for (const char* wrong : {"0", "65536", "port"})
    EXPECT_THAT(problem_in(with(kTorchrun, {{"MASTER_PORT", wrong}})), HasSubstr("MASTER_PORT is"));
}

TEST(LaunchVariables, OpenMpiAcrossMachinesNeedsAMaster) {
  const auto two = with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}});
  EXPECT_THAT(problem_in(two), HasSubstr("MASTER_ADDR is missing"));
  EXPECT_EQ(summary(launch_in(with(two, {{"MASTER_ADDR", "a"}}))), "3/4 1/2 a:29500");
  // mpirun starts its helpers by srun, whose variables its processes inherit.
  EXPECT_EQ(launch_in(with(kSrun, kOpenMpi)).how, "Open MPI");
}

TEST(LaunchVariables, Slurm) {
  const Launch launch = launch_in(kSrun);
  EXPECT_EQ(summary(launch), fmt::format("9/10 1/2 gpu003:{}", 20000 + 123456 % 12000));
  EXPECT_EQ(launch.how, "SLURM");
  // Another step of the same job may run at the same time.
  EXPECT_NE(launch_in(with(kSrun, {{"SLURM_STEP_ID", "1"}})).master_port, launch.master_port);
  EXPECT_EQ(launch_in(with(kSrun, {{"MASTER_ADDR", "x"}, {"MASTER_PORT", "77"}})).master_address, "x");
  EXPECT_EQ(launch_in(with(kSrun, {{"MASTER_PORT", "77"}})).master_port, 77);
}

TEST(LaunchVariables, SlurmOnOneMachine) {
  const auto one = with(kSrun, {{"SLURM_NODEID", "0"},
                                {"SLURM_LOCALID", "9"},
                                {"SLURM_STEP_TASKS_PER_NODE", "10"},
                                {"SLURM_STEP_NODELIST", "gpu1"}});
  EXPECT_EQ(launch_in(one).master_address, "127.0.0.1");
  EXPECT_EQ(launch_in(one).local_world_size, 10);
}

TEST(LaunchVariables, SlurmCountsTheStepNotTheJob) {
  const auto step =
      with(kSrun, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}});
  EXPECT_EQ(summary(launch_in(step)), "0/1 0/1 :0");
}

TEST(LaunchVariables, SlurmWithoutSrunIsOneRank) {
  // salloc's shell, and sbatch's script, which has a rank too.
  const Environment shell = {{"SLURM_JOB_ID", "1"}, {"SLURM_NTASKS", "8"}};
  EXPECT_EQ(summary(launch_in(shell)), "0/1 0/1 :0");
  const auto script = with(shell, {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_NODEID", "0"}});
  EXPECT_EQ(summary(launch_in(script)), "0/1 0/1 :0");
  EXPECT_EQ(summary(launch_in(with(script, {{"SLURM_STEP_ID", "4294967291"}}))), "0/1 0/1 :0");
  EXPECT_EQ(launch_in(script).how, "in a SLURM job, but not by srun");
}

TEST(LaunchVariables, SlurmListsThatDoNotFit) {
  EXPECT_THAT(problem_in(with(kSrun, {{"SLURM_NODEID", "3"}})),
              HasSubstr("names 3 nodes, but this is node 3"));
  EXPECT_THAT(problem_in(with(kSrun, {{"SLURM_STEP_TASKS_PER_NODE", "4(x"}})), HasSubstr("4(x"));
  EXPECT_THAT(problem_in(with(kSrun, {{"SLURM_STEP_NODELIST", "gpu[003"}})), HasSubstr("gpu[003"));
}

TEST(Slurm, FirstHost) {
  const std::map<std::string, std::string> table = {{"a", "a"},
                                                    {"a1,b2", "a1"},
                                                    {"gpu[003-005,9]", "gpu003"},
                                                    {"gpu[9,003-005],x", "gpu9"},
                                                    {"gpu[07]-ib,gpu08-ib", "gpu07-ib"},
                                                    {"rack[1-2]n[03-04].cluster", "rack1n03.cluster"}};
  for (const auto& [list, host] : table) EXPECT_EQ(first_host(list), host) << list;
  for (const char* wrong : {"", ",a", "gpu[", "gpu[]", "gpu[-3]", "gpu]1[", "gpu[a-b]", "a b"})
    EXPECT_THROW(first_host(wrong), UserError) << wrong;
}

TEST(Slurm, TasksPerNode) {
  EXPECT_THAT(tasks_per_node("4"), ElementsAre(4));
  EXPECT_THAT(tasks_per_node("4(x2),2"), ElementsAre(4, 4, 2));
  EXPECT_THAT(tasks_per_node("1,2(x1),3"), ElementsAre(1, 2, 3));
  for (const char* wrong : {"", "4(", "4(x)", "4(x0)", "(x2)", "4,", "-1", "0", "4 (x2)", "4(x99999999)"})
    EXPECT_THROW(tasks_per_node(wrong), UserError) << wrong;
}

}  // namespace
}  // namespace pixart::distributed
