// Uses the module that stands on all others, so that a library missing from the installed package shows.
#include <iostream>

#include "pixart/run/run_config.h"
#include "pixart/train/train.h"

int main(int argc, char** argv) {
  const pixart::run::RunConfig config = pixart::run::read_run_config(argv[1], {});
  std::cout << config.stages.size() << " stages\n";
  // Needs a run file to be reached; it is here to be linked.
  if (argc > 2) pixart::train::train(config, {});
}
