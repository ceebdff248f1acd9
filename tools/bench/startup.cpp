// The waiting time of pixart --help, and of pixart train until its first step is done, against a Python that
// imports torch, as every other trainer does first.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "rival.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

struct StartupArguments {
  std::string run_file = "configs/demo/scenes.yaml", python = ".deps/venv/bin/python";
  fs::path folder = "build";
  int rounds = 3;
};

constexpr double kLongestWait = 300;  // seconds

pid_t start(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  const int nowhere = ::open("/dev/null", O_WRONLY);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

double seconds_of(const std::vector<std::string>& command) {
  const double begin = monotonic_seconds();
  const pid_t child = start(command);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) throw UserError(fmt::format("{} {} failed.", command[0], command[1]));
  return monotonic_seconds() - begin;
}

bool has_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  return bool(std::getline(stream, line)) && !stream.eof();
}

// The seconds until the run's events have a step; then the run is stopped.
double seconds_to_first_step(const std::string& pixart, const std::string& run_file, const fs::path& run) {
  fs::remove_all(run);
  const double begin = monotonic_seconds();
  const pid_t child = start({pixart, "train", run_file, "--set", "run=" + run.string()});
  double seconds = 0;
  int status = 0;
  bool is_over = false;
  while (seconds < kLongestWait && !is_over && !has_line(run / "events.jsonl")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    is_over = ::waitpid(child, &status, WNOHANG) == child;
    seconds = monotonic_seconds() - begin;
  }
  const bool is_done = has_line(run / "events.jsonl");
  if (!is_over) {
    ::kill(child, SIGTERM);
    ::waitpid(child, &status, 0);
  }
  fs::remove_all(run);
  if (!is_done) throw UserError(fmt::format("pixart train {} finished no step.", run_file));
  return seconds;
}

void bench(const StartupArguments& arguments) {
  require_files({arguments.run_file, arguments.python});
  const std::string pixart = (fs::read_symlink("/proc/self/exe").parent_path() / "pixart").string();
  const fs::path run = arguments.folder / "pixart-bench-startup";
  const std::vector<std::pair<std::string, std::function<double()>>> contestants = {
      {"help",
       [&] {
         return seconds_of({pixart, "--help"});
       }},
      {"train_to_first_step", [&] { return seconds_to_first_step(pixart, arguments.run_file, run); }},
      {"import_torch", [&] {
         return seconds_of({arguments.python, "-c", "import torch"});
       }}};
  std::map<std::string, std::vector<double>> seconds;
  for (int round = 0; round <= arguments.rounds; ++round)  // the first round brings files into memory
    for (const auto& [name, measure] : contestants) {
      const double taken = measure();
      if (round > 0) seconds[name].push_back(taken);
    }
  nlohmann::ordered_json result = {
      {"benchmark", "startup"}, {"run_file", arguments.run_file}, {"rounds", arguments.rounds}};
  for (const auto& [name, measure] : contestants) result["seconds"][name] = spread(seconds.at(name));
  for (const char* name : {"help", "train_to_first_step"})
    result["ratio"][name] = median(seconds.at("import_torch")) / median(seconds.at(name));
  std::printf("%s\n", result.dump(1).c_str());
}

}  // namespace

void add_startup(CLI::App& app) {
  auto arguments = std::make_shared<StartupArguments>();
  auto* command = app.add_subcommand(
      "startup", "pixart --help, and pixart train to its first finished step, against importing torch.");
  command->add_option("--run-file", arguments->run_file, "run file to train")->capture_default_str();
  command->add_option("--dir", arguments->folder, "folder in which the run folder is made")
      ->capture_default_str();
  command->add_option("--python", arguments->python, "Python with torch")->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 100))->capture_default_str();
  command->footer("Example:\n  pixart_bench startup");
  command->callback([arguments] { bench(*arguments); });
}

}  // namespace pixart::bench
