// The command `pixart`. Errors end here: one message, and the documented exit code.
#include <csignal>
#include <exception>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"

int main(int argc, char** argv) {
  using pixart::ExitCode;
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is then an error of the write, with a message
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
  } catch (const std::exception& error) {
    pixart::log::error("internal error (please report it): {}", error.what());
    return int(ExitCode::kInternal);
  }
}
