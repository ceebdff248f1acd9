// The command `pixart`. Errors end here: one message, and the documented exit code.
#include <c10/util/Exception.h>

#include <csignal>
#include <exception>
#include <string>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/standard_streams.h"

namespace {

using pixart::ExitCode;

int run(int argc, char** argv) {
  CLI::App app;
  try {
    pixart::tools::run_command(argc, argv, app);
    return int(ExitCode::kDone);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    pixart::log::error("{}", pixart::tools::explain_parse_error(app, error));
    return int(ExitCode::kBadInput);
  } catch (const pixart::UserError& error) {
    pixart::log::error("{}", error.what());
    return int(error.code());
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
    pixart::log::error("internal error (please report it): {}", error.what());
    return int(ExitCode::kInternal);
  }
}

}  // namespace

int main(int argc, char** argv) {
  pixart::prepare_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is then an error of the write, with a message
  const int code = run(argc, argv);
  const std::string problem = pixart::finish_standard_output();
  if (problem.empty() || code != int(ExitCode::kDone)) return code;
  pixart::log::error("cannot write standard output: {}. The output is incomplete; is the disk full?",
                     problem);
  return int(ExitCode::kStorage);
}
