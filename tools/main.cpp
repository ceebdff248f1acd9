// The command `pixart`. Errors end here: one message, and the documented exit code.
#include <c10/util/Exception.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "commands.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/failure.h"
#include "pixart/base/log.h"
#include "pixart/base/standard_streams.h"

namespace {

using pixart::ExitCode;

// LibTorch takes half a second to initialise itself before main(). A request to stop is noted from the start;
// the command then answers it. Sanitizers initialise themselves in the same way, so main() does it there.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
[[gnu::section(".preinit_array"), gnu::used]] void (*catch_early)() = pixart::catch_stop_signals;
#endif

int run(int argc, char** argv) {
  CLI::App app;
  try {
    pixart::tools::run_command(argc, argv, app);
    return int(ExitCode::kDone);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    pixart::log::error("{}", pixart::tools::explain_parse_error(app, error));
    return int(ExitCode::kBadInput);
  } catch (const c10::OutOfMemoryError& error) {
    pixart::log::error(
        "the GPU has too little memory: {}. Lower micro_batch_size, set activation_checkpointing: 1, or with several "
        "GPUs optimizer.shard; `pixart plan RUN.yaml` says what a stage needs.",
        error.what_without_backtrace());
    return int(ExitCode::kDevice);
  } catch (const c10::AcceleratorError& error) {
    pixart::log::error("the GPU failed: {}. `pixart doctor` and nvidia-smi describe it.",
                       error.what_without_backtrace());
    return int(ExitCode::kDevice);
  } catch (const std::exception& error) {
    const auto failure = pixart::explain(error);
    pixart::log::error("{}", failure.message);
    return int(failure.code);
  }
}

void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

// For exceptions that cannot reach run(): of a library's thread, or while another one is handled.
[[noreturn]] void end_uncaught() {
  try {
    if (const auto error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    say(pixart::kOutOfMemory);
    std::_Exit(int(ExitCode::kDevice));
  } catch (const std::exception& error) {
    const auto failure = pixart::explain(error);
    say(("error  " + failure.message + "\n").c_str());
    if (failure.code != ExitCode::kInternal) std::_Exit(int(failure.code));
  }
  std::abort();
}

// libgomp ends the process when it cannot start a thread or has no memory. Its own message names no remedy.
void explain_end(int status, void*) {
  if (status != EXIT_FAILURE) return;
  say("error  a library ended the process, see the line before. If threads are the reason, raise the limit "
      "(ulimit -u, or that of the container), or lower threads and loader.threads; if memory is, lower "
      "micro_batch_size.\n");
  std::_Exit(int(ExitCode::kDevice));
}

}  // namespace

int main(int argc, char** argv) {
  pixart::catch_stop_signals();
  pixart::prepare_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is then an error of the write, with a message
  std::set_terminate(end_uncaught);
  ::on_exit(explain_end, nullptr);
  const int code = run(argc, argv);
  const std::string problem = pixart::finish_standard_output();
  if (problem.empty() || code != int(ExitCode::kDone)) return code;
  pixart::log::error("cannot write standard output: {}. The output is incomplete.", problem);
  return int(ExitCode::kStorage);
}
