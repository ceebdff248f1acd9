#include "pixart/distributed/launcher.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <optional>

#include "blame.h"
#include "meeting.h"
#include "phase_board.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/distributed/communicator.h"
#include "rank_output.h"
#include "rank_process.h"
#include "run_token.h"

namespace pixart::distributed {

namespace {

constexpr double kGraceSeconds = 6;  // from SIGTERM to SIGKILL; all ranks have ended within 10 s
// From the end of a rank on request, beyond the time-out, until the others are asked again.
constexpr double kStopSeconds = 4;
constexpr double kLookSeconds = 1;  // between looks at those that are left when a rank has ended
constexpr int kRequestsToKill = 3;

// Reads the stop signals from a descriptor instead of by interruption; the destructor restores the former
// state.
class SignalDescriptor {
 public:
  SignalDescriptor() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    // A blocked signal would be read here even if it is ignored; it must stay ignored.
    for (int number : stop_signals()) sigaddset(&signals, number);
    ::sigprocmask(SIG_BLOCK, &signals, &before_);
    descriptor_ = Socket(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~SignalDescriptor() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  SignalDescriptor(const SignalDescriptor&) = delete;
  SignalDescriptor& operator=(const SignalDescriptor&) = delete;
  int get() const { return descriptor_.get(); }
  // The next signal that was received, or 0.
  int next() {
    signalfd_siginfo info{};
    return ::read(get(), &info, sizeof info) == sizeof info ? int(info.ssi_signo) : 0;
  }

 private:
  sigset_t before_{};
  Socket descriptor_;
};

class Launcher {
 public:
  explicit Launcher(const LauncherOptions& options)
      : options_(options),
        board_(options.num_ranks),
        ends_(size_t(options.num_ranks)),
        activity_(size_t(options.num_ranks)),
        timeout_seconds_(options.timeout_seconds > 0
                             ? options.timeout_seconds
                             : communicator_options_from_environment().timeout_seconds) {}

  void run() {
    start();
    while (std::any_of(ranks_.begin(), ranks_.end(), [](const auto& rank) { return rank.is_running(); })) {
      wait();
      for (int number; (number = signals_.next()) != 0;)
        if (number != SIGCHLD) pass_on(number);
      reap();
      end_those_that_are_idle();
      if (ask_again_at_ && !kill_at_ && monotonic_seconds() > *ask_again_at_) end_the_others();
      if (kill_at_ && monotonic_seconds() > *kill_at_) signal_all(SIGKILL);
    }
    finish();
  }

 private:
  RankCommand command(int rank, int port, const Socket& door) const {
    const std::string number = std::to_string(rank), count = std::to_string(options_.num_ranks);
    RankCommand command;
    command.program = options_.program.empty() ? "/proc/self/exe" : options_.program;
    command.arguments = options_.arguments;
    command.has_terminal = rank == 0;
    command.inherited = rank == 0 ? door.get() : -1;
    command.variables = {{"RANK", number},
                         {"WORLD_SIZE", count},
                         {"LOCAL_RANK", number},
                         {"LOCAL_WORLD_SIZE", count},
                         {"MASTER_ADDR", "127.0.0.1"},
                         {"MASTER_PORT", std::to_string(port)},
                         {"TORCHELASTIC_USE_AGENT_STORE", "False"},
                         {"TORCHELASTIC_RESTART_COUNT", "0"},
                         {kTokenVariable, token_},
                         {kDoorVariable, rank == 0 ? std::to_string(door.get()) : ""},
                         {kBoardVariable, std::to_string(board_.descriptor())}};
    if (options_.timeout_seconds > 0)
      command.variables.emplace_back("PIXART_DIST_TIMEOUT", fmt::format("{}", options_.timeout_seconds));
    return command;
  }

  void start() {
    if (stop_requested()) stop_before_the_ranks();  // requested before signals_ existed
    // Nobody else can take the port from here on: rank 0 inherits the socket, and the others wait in its queue.
    const auto [door, port] = listen_on("127.0.0.1");
    ranks_.reserve(ends_.size());
    for (int r = 0; r < options_.num_ranks; ++r) {
      ranks_.emplace_back(command(r, port, door));
      outputs_.emplace_back(r);
    }
  }

  void wait() {
    std::vector<pollfd> entries = {{signals_.get(), POLLIN, 0}};
    for (const auto& rank : ranks_)
      if (rank.output() >= 0) entries.push_back({rank.output(), POLLIN, 0});
    const auto next = kill_at_ ? kill_at_ : ask_again_at_;
    const double most = num_ended_ > 0 ? kLookSeconds : 3600;
    const double left = next ? std::clamp(*next - monotonic_seconds(), 0.0, most) : most;
    ::poll(entries.data(), nfds_t(entries.size()), int(left * 1000) + 1);
    for (size_t r = 0; r < ranks_.size(); ++r) show(outputs_[r].add(ranks_[r].read_output()));
  }

  static void show(const std::string& text) {
    if (!text.empty()) std::fwrite(text.data(), 1, text.size(), stderr);
  }

  void signal_all(int number) {
    for (auto& rank : ranks_) rank.signal(number);
  }

  void pass_on(int number) {
    // Closing a terminal sends several SIGHUP: from the kernel and from the shell.
    if (number == SIGHUP && requests_ > 0) return;
    const bool is_enough = ++requests_ >= kRequestsToKill;
    if (requests_ == 1) log::info("stop requested: passed on to the ranks, which save and end");
    if (is_enough) log::warning("stop requested {} times: the ranks are killed", requests_);
    signal_all(is_enough ? SIGKILL : number);
    was_killed_ = was_killed_ || is_enough;
  }

  // While a rank loads its libraries it cannot catch a signal and has nothing to save.
  bool is_stopped_early(const RankEnd& end) const {
    const auto signals = stop_signals();
    return end.phase.empty() && std::find(signals.begin(), signals.end(), end.signal) != signals.end();
  }

  [[noreturn]] static void stop_before_the_ranks() {
    throw UserError("stopped on request before the ranks had begun", ExitCode::kRequeue);
  }

  void reap() {
    bool has_failed = false, has_stopped = false;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      if (!ranks_[r].reap()) continue;
      const int status = ranks_[r].status();
      RankEnd& end = ends_[r];
      end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
      end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      end.order = num_ended_++;
      end.was_stopped = kill_at_.has_value() || was_killed_;
      end.outlasted_stop = have_outlasted_ && end.signal != 0 && !was_killed_;
      end.stayed_idle = activity_[r].is_over && end.signal != 0 && !was_killed_;
      end.accused = board_.accused(int(r));
      end.phase = board_.phase(int(r));
      end.problem = board_.problem(int(r));
      stopped_early_ = stopped_early_ || (is_stopped_early(end) && !kill_at_);
      has_failed = has_failed || is_failure(end);
      has_stopped = has_stopped || has_ended_on_request(end);
    }
    if (has_stopped) stop_those_that_come_late();
    if (has_stopped && !ask_again_at_) ask_again_at_ = monotonic_seconds() + timeout_seconds_ + kStopSeconds;
    if (!has_failed || kill_at_) return;
    kill_at_ = monotonic_seconds() + kGraceSeconds;
    signal_all(SIGTERM);
  }

  bool has_ended_on_request(const RankEnd& end) const {
    const bool is_done = end.signal == 0 && end.exit_code == int(ExitCode::kDone);
    return end.exit_code == int(ExitCode::kRequeue) || (requests_ > 0 && is_done);
  }

  // A rank that is stopped after its last wait for the others is missed by none of them.
  void end_those_that_are_idle() {
    if (num_ended_ == 0 || kill_at_ || ask_again_at_) return;
    const double now = monotonic_seconds();
    bool are_idle = false;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      if (!ranks_[r].is_running()) continue;
      Activity& activity = activity_[r];
      const auto cpu_seconds = ranks_[r].cpu_seconds();  // a rank of which nothing is known is not idle
      if (!cpu_seconds || cpu_seconds != activity.cpu_seconds)
        activity = {.cpu_seconds = cpu_seconds, .seen_at = now};
      activity.is_over = now - activity.seen_at > timeout_seconds_;
      are_idle = are_idle || activity.is_over;
    }
    if (!are_idle) return;
    kill_at_ = now + kGraceSeconds;
    signal_all(SIGTERM);
  }

  // Those that answer stop now; one that hangs is killed.
  void end_the_others() {
    have_outlasted_ = true;
    kill_at_ = monotonic_seconds() + kGraceSeconds;
    signal_all(SIGTERM);
  }

  // The ranks that met have agreed to stop; the others would look for them in vain.
  void stop_those_that_come_late() {
    for (size_t r = 0; r < ranks_.size(); ++r)
      if (const auto phase = board_.phase(int(r)); phase.empty() || phase == kMeetingPhase)
        ranks_[r].signal(SIGTERM);
  }

  void finish() {
    for (size_t r = 0; r < ranks_.size(); ++r)
      show(outputs_[r].add(ranks_[r].read_output()) + outputs_[r].end());
    if (stopped_early_) stop_before_the_ranks();
    const auto guilty = find_guilty(ends_);
    if (guilty) {
      if (guilty->rank > 0) show(outputs_[size_t(guilty->rank)].last_lines());
      throw UserError(guilty->message, ExitCode(guilty->code));
    }
    for (const auto& end : ends_)
      if (end.exit_code != 0) throw UserError("the ranks have stopped on request", ExitCode(end.exit_code));
  }

  // Of a rank, since another one has ended.
  struct Activity {
    std::optional<double> cpu_seconds = {};
    double seen_at = 0;
    bool is_over = false;  // for longer than the time-out
  };

  const LauncherOptions& options_;
  SignalDescriptor signals_;
  PhaseBoard board_;
  const std::string token_ = new_run_token();
  std::vector<RankProcess> ranks_;
  std::vector<RankOutput> outputs_;
  std::vector<RankEnd> ends_;
  std::vector<Activity> activity_;
  double timeout_seconds_;                        // of the ranks
  std::optional<double> kill_at_, ask_again_at_;  // ask_again_at_: since a rank has ended on request
  int num_ended_ = 0, requests_ = 0;
  bool was_killed_ = false, stopped_early_ = false, have_outlasted_ = false;
};

}  // namespace

void launch_ranks(const LauncherOptions& options) { Launcher(options).run(); }

}  // namespace pixart::distributed
