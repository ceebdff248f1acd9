#include <cstdio>

#include "benchmarks.h"
#include "pixart/base/error.h"

int main(int argc, char** argv) {
  CLI::App app("Benchmarks of pixart, printed as JSON. Run them on an idle machine.", "pixart_bench");
  app.require_subcommand(1);
  pixart::bench::add_attention(app);
  pixart::bench::add_checkpoint(app);
  pixart::bench::add_convert(app);
  pixart::bench::add_decode(app);
  pixart::bench::add_features(app);
  pixart::bench::add_kernels(app);
  pixart::bench::add_remote(app);
  pixart::bench::add_startup(app);
  pixart::bench::add_step(app);
  pixart::bench::add_optimizer(app);
  pixart::bench::add_order(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : int(pixart::ExitCode::kBadInput);
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
