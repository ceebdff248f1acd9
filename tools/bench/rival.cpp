#include "rival.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::bench {

Rival::Rival(const std::vector<std::string>& command) : name_(command.at(0) + " " + command.at(1)) {
  std::signal(SIGPIPE, SIG_IGN);  // if the rival dies, ask() throws
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<int, 2> in{}, out{};
  // A rival that holds the pipes of another one would keep it from ending.
  PIXART_CHECK(::pipe2(in.data(), O_CLOEXEC) == 0 && ::pipe2(out.data(), O_CLOEXEC) == 0);
  child_ = ::fork();
  if (child_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  to_ = ::fdopen(in[1], "w");
  from_ = ::fdopen(out[0], "r");
}

Rival::~Rival() {
  std::fclose(to_);
  std::fclose(from_);
  ::waitpid(child_, nullptr, 0);
}

nlohmann::json Rival::ask(const std::string& line) {
  std::fprintf(to_, "%s\n", line.c_str());
  std::fflush(to_);
  char* answer = nullptr;
  size_t capacity = 0;
  const ssize_t size = ::getline(&answer, &capacity, from_);
  const std::string text(answer == nullptr ? "" : answer, size_t(std::max<ssize_t>(size, 0)));
  std::free(answer);
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  if (parsed.is_discarded())
    throw UserError(fmt::format(
        "{} gave no answer; see its messages above. scripts/bench_data.sh --setup installs what it needs.",
        name_));
  return parsed;
}

void require_files(const std::vector<std::string>& files) {
  for (const auto& file : files)
    if (!std::filesystem::exists(file))
      throw UserError(
          fmt::format("{} is missing. scripts/bench_data.sh --setup installs what is needed.", file));
}

void use_one_core() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(size_t(std::max(0, ::sched_getcpu())), &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0)
    throw UserError("cannot pin the process to one processor.");
  at::set_num_threads(1);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

nlohmann::ordered_json spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {{"median", median(values)}, {"min", values.front()}, {"max", values.back()}};
}

nlohmann::ordered_json conditions() {
  std::string model = "?", line, load;
  std::ifstream cpu("/proc/cpuinfo"), loadavg("/proc/loadavg");
  while (std::getline(cpu, line))
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  loadavg >> load;
  return {{"processor", model}, {"cores_used", 1}, {"load_average", load}, {"time", utc_time_now()}};
}

}  // namespace pixart::bench
