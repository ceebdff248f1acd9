#include "blame.h"

#include <csignal>
#include <cstring>

#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

std::string last_phase(const RankEnd& end) {
  return end.phase.empty() ? "It had not recorded a phase."
                           : fmt::format("Its last phase: \"{}\".", end.phase);
}

std::string as_sentence(const std::string& text) {
  const bool has_end = !text.empty() && std::string_view(".?!").find(text.back()) != std::string_view::npos;
  return has_end ? text : text + ".";
}

bool is_stopped_by_us(const RankEnd& end) {
  return end.was_stopped && (end.signal == SIGTERM || end.signal == SIGKILL);
}

Blame blame_own_end(std::span<const RankEnd> ends, int rank) {
  const RankEnd& end = ends[size_t(rank)];
  const std::string who = fmt::format("rank {} of {}", rank, ends.size());
  if (end.signal == 0)
    return {rank, end.exit_code,
            fmt::format("{} ended with exit code {}{} {}", who, end.exit_code,
                        end.problem.empty() ? "." : ": " + as_sentence(end.problem), last_phase(end))};
  const char* hint = end.signal == SIGKILL ? " If nobody killed it, memory was short (see dmesg)." : "";
  return {rank, 128 + end.signal,
          fmt::format("{} was killed by signal {} ({}). {}{}", who, end.signal, ::strsignal(end.signal),
                      last_phase(end), hint)};
}

// It told the others that its own device or library failed, in a sentence that may begin with its name.
Blame blame_failed(std::span<const RankEnd> ends, int rank) {
  const RankEnd& end = ends[size_t(rank)];
  const std::string name = fmt::format("rank {}: ", rank);
  const std::string problem = end.problem.starts_with(name) ? end.problem.substr(name.size()) : end.problem;
  return {
      rank, end.signal == 0 ? end.exit_code : int(ExitCode::kDevice),
      fmt::format("rank {} of {} failed: {} {}", rank, ends.size(), as_sentence(problem), last_phase(end))};
}

Blame blame_accused(std::span<const RankEnd> ends, int accuser) {
  const int rank = ends[size_t(accuser)].accused;
  const RankEnd& end = ends[size_t(rank)];
  // It failed by itself, but the one that noticed ended sooner.
  if (is_failure(end) && end.signal == 0 && end.accused < 0) return blame_own_end(ends, rank);
  const std::string waited =
      fmt::format("while rank {} waited in \"{}\"", accuser, ends[size_t(accuser)].phase);
  if (!is_failure(end) && end.order < ends[size_t(accuser)].order)
    return {rank, int(ExitCode::kDevice),
            fmt::format("rank {} of {} ended early with exit code {}, {}. {}", rank, ends.size(),
                        end.exit_code, waited, last_phase(end))};
  return {rank, int(ExitCode::kDevice),
          fmt::format("rank {} of {} hung, {}. {}", rank, ends.size(), waited, last_phase(end))};
}

Blame blame_outlasting(std::span<const RankEnd> ends, int rank) {
  return {rank, int(ExitCode::kDevice),
          fmt::format("rank {} of {} did not end on the request to stop, long after others had, and was "
                      "killed. {}",
                      rank, ends.size(), last_phase(ends[size_t(rank)]))};
}

Blame blame_idle(std::span<const RankEnd> ends, int rank) {
  return {
      rank, int(ExitCode::kDevice),
      fmt::format("rank {} of {} did not end and used no processor time for as long as ranks wait for each "
                  "other, after another one had ended. It was killed. {}",
                  rank, ends.size(), last_phase(ends[size_t(rank)]))};
}

// The first rank to end for which `is_wanted` is true, or -1.
template <class Wanted>
int first_of(std::span<const RankEnd> ends, const Wanted& is_wanted) {
  int found = -1;
  for (int r = 0; r < int(ends.size()); ++r)
    if (is_wanted(ends[size_t(r)]) && (found < 0 || ends[size_t(r)].order < ends[size_t(found)].order))
      found = r;
  return found;
}

}  // namespace

bool is_failure(const RankEnd& end) {
  return end.signal != 0 ||
         (end.exit_code != int(ExitCode::kDone) && end.exit_code != int(ExitCode::kRequeue));
}

std::optional<Blame> find_guilty(std::span<const RankEnd> ends) {
  const int killed = first_of(ends, [](const RankEnd& e) { return e.signal != 0 && !is_stopped_by_us(e); });
  if (killed >= 0) return blame_own_end(ends, killed);
  const auto fails_alone = [](const RankEnd& e) { return is_failure(e) && e.accused < 0 && !e.was_stopped; };
  const auto has_own_cause = [&](const RankEnd& e) { return fails_alone(e) && e.problem.empty(); };
  if (const int alone = first_of(ends, has_own_cause); alone >= 0) return blame_own_end(ends, alone);
  // Its own device or disk failed, but a rank that waited for it ended sooner.
  const auto fails_late = [](const RankEnd& e) {
    return is_failure(e) && e.accused < 0 && e.was_stopped && e.signal == 0 && e.problem.empty();
  };
  if (const int late = first_of(ends, fails_late); late >= 0) return blame_own_end(ends, late);
  if (const int alone = first_of(ends, fails_alone); alone >= 0) return blame_own_end(ends, alone);
  const auto accuses = [&](const RankEnd& e) {
    return is_failure(e) && e.accused >= 0 && e.accused < int(ends.size());
  };
  const auto fails_itself = [&](const RankEnd& e) {
    return accuses(e) && &e == &ends[size_t(e.accused)] && !e.problem.empty();
  };
  if (const int own = first_of(ends, fails_itself); own >= 0) return blame_failed(ends, own);
  if (const int accuser = first_of(ends, accuses); accuser >= 0) return blame_accused(ends, accuser);
  const int outlasting = first_of(ends, [](const RankEnd& e) { return e.outlasted_stop; });
  if (outlasting >= 0) return blame_outlasting(ends, outlasting);
  const int idle = first_of(ends, [](const RankEnd& e) { return e.stayed_idle; });
  if (idle >= 0) return blame_idle(ends, idle);
  if (const int any = first_of(ends, is_failure); any >= 0) return blame_own_end(ends, any);
  return std::nullopt;
}

}  // namespace pixart::distributed
