// The sample images of a stage, drawn by all ranks.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pixart/distributed/communicator.h"
#include "pixart/formats/image_file.h"

namespace pixart::train {

struct Drawing {
  // Draws images first ... first + count - 1 with the EMA weights. Calls its last argument between pieces of
  // work; if that returns true, a stop was requested and there may be fewer images.
  using Draw = std::function<std::vector<Image>(int64_t first, int64_t count,
                                                const std::function<bool()>& asked_to_stop)>;
  std::vector<std::string> captions = {};  // one for each image
  // The bits of an image may depend on the images that it is drawn with. Therefore images are drawn in groups
  // of this size, whatever the number of ranks.
  int64_t group = 1;
  Draw draw = {};
};

// The images, on all ranks, which take the groups in turn; nothing if a rank was asked to stop meanwhile. All
// ranks call it together. `asked_to_stop` is called on all ranks after each piece of work, a sign of life.
std::optional<std::vector<Image>> draw_together(const Drawing& drawing, distributed::Communicator& ranks,
                                                const std::string& phase,
                                                const std::function<bool()>& asked_to_stop);

}  // namespace pixart::train
