// For scripts/check_tensorboard.py: writes metrics as a run does that was killed after step 60 of 100, had
// saved step 40, and was started again. The second run's losses differ, so that they can be told apart.
#include <cstdio>
#include <filesystem>

#include "pixart/formats/image_file.h"
#include "pixart/run/metrics.h"

namespace {

namespace fs = std::filesystem;
using pixart::run::MetricSink;

void write_steps(const fs::path& run, int64_t first, int64_t last, double loss) {
  MetricSink sink(run / "events.jsonl", run / "telemetry.jsonl", run / "tensorboard");
  for (const char* stage : {"class", "text"}) {
    sink.rewind(stage, first - 1);
    sink.text(stage, first - 1, "run.yaml", "    seed: 1");
    for (int64_t step = first; step <= last; ++step) {
      sink.write(stage, step, {{"loss", loss / double(step)}, {"lr", 2e-5}});
      if (step % 20 != 0) continue;
      sink.write(stage, step, {{"validation_loss", loss}, {"validation_loss_t7", loss / 2}});
      sink.report({.kind = "interval", .stage = stage, .step = step, .values = {{"images_per_second", 8.5}}});
      const fs::path file = run / "samples" / stage / (std::to_string(step) + ".png");
      fs::create_directories(file.parent_path());
      pixart::formats::save_png(file, pixart::Image(24, 48, uint8_t(step)));
      sink.image(stage, step, "samples", file);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: pixart_metrics RUN_FOLDER\n");
    return 1;
  }
  write_steps(argv[1], 1, 60, 1.0);
  write_steps(argv[1], 41, 100, 2.0);
  return 0;
}
