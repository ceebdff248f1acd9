// pixart_resized RULE FILE... : each image at 299 x 299 by the rule of FID, planes [3, 299, 299] of float32 in the order of
// the files, to standard output, for scripts/check_scores.py.
#include <cstdio>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "pixart/score/score.h"
#include "resize.h"

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: pixart_resized RULE FILE...\n"), 78;
  try {
    const auto rule = pixart::enum_of_word<pixart::score::ResizeRule>(argv[1], "resize rule");
    for (int i = 2; i < argc; ++i) {
      const std::vector<float> planes = pixart::score::resized(pixart::formats::load_image(argv[i]), rule);
      if (std::fwrite(planes.data(), sizeof(float), planes.size(), stdout) != planes.size()) return 74;
    }
    return std::fflush(stdout) == 0 ? 0 : 74;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
