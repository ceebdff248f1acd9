#include "rank_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

constexpr int kCannotStart = 127;  // as in shells

[[noreturn]] void become(const RankCommand& command, int output, pid_t parent) {
  // The rank gets its own process group: Ctrl-C reaches only the launcher, which passes it on once, and the
  // rank's children can be ended with it.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);
  // The default actions: stop signals end the rank until it has its own handlers. The launcher's handlers
  // would lose them.
  for (int number : stop_signals()) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  if (output >= 0) {
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
  }
  if (command.inherited >= 0) ::fcntl(command.inherited, F_SETFD, 0);
  for (const auto& [name, value] : command.variables) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv = {const_cast<char*>(command.program.c_str())};
  for (const auto& argument : command.arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  const std::string message = "error  cannot start " + command.program + ": " + std::strerror(errno) + "\n";
  (void)!::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(kCannotStart);
}

}  // namespace

RankProcess::RankProcess(const RankCommand& command) {
  int ends[2] = {-1, -1};
  if (!command.has_terminal && ::pipe2(ends, O_CLOEXEC) != 0)
    throw UserError(fmt::format("cannot create a pipe for a rank: {}", std::strerror(errno)),
                    ExitCode::kDevice);
  output_ = Socket(ends[0]);
  const Socket write_end(ends[1]);
  if (output_.is_open()) ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid == 0) become(command, write_end.get(), parent);
  if (pid < 0)
    throw UserError(fmt::format("cannot start a rank: {}", std::strerror(errno)), ExitCode::kDevice);
  ::setpgid(pid, pid);  // here too, so that a signal sent at once finds the group
  pid_ = pid;
}

RankProcess::~RankProcess() {
  if (!is_running()) return;
  signal(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool RankProcess::reap() {
  int status = 0;
  if (!is_running() || ::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  status_ = status;
  return true;
}

std::optional<double> RankProcess::cpu_seconds() const {
  if (!is_running()) return std::nullopt;
  std::ifstream file(fmt::format("/proc/{}/stat", int(pid_)));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t name_end = text.rfind(')');  // the name may have spaces
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  constexpr int kFieldsBeforeTimes = 11;
  std::string ignored;
  for (int i = 0; i < kFieldsBeforeTimes; ++i) fields >> ignored;
  double user = 0, system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  return (user + system) / double(::sysconf(_SC_CLK_TCK));
}

void RankProcess::signal(int number) {
  if (is_running() && ::kill(-pid_, number) != 0) ::kill(pid_, number);
}

std::string RankProcess::read_output() {
  std::string text;
  char buffer[4096];
  while (output_.is_open()) {
    const ssize_t n = ::read(output_.get(), buffer, sizeof buffer);
    if (n > 0) text.append(buffer, size_t(n));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    if (n == 0) output_.close();
  }
  return text;
}

}  // namespace pixart::distributed
