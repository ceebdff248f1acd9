// pixart_forward WEIGHTS INPUTS OUT: one forward pass of a DiT or PixArt, for scripts that compare us with
// other libraries. INPUTS holds in.x, in.t and in.y as golden cases do (tests/golden/README.md); OUT gets
// out.output.
#include <ATen/ATen.h>

#include <cstdio>

#include "pixart/base/error.h"
#include "pixart/convert/convert.h"
#include "pixart/formats/tensor_file.h"

namespace {

using namespace pixart;

at::Tensor forward(const convert::OfficialWeights& official,
                   const std::map<std::string, at::Tensor>& inputs) {
  at::NoGradGuard no_grad;
  nn::StateDict state;
  const auto get = [&](const char* name) { return inputs.count(name) > 0 ? inputs.at(name) : at::Tensor(); };
  auto weights = formats::read_all(official.weights);
  if (const auto* config = std::get_if<models::DitConfig>(&official.identity.architecture)) {
    const models::Dit model(nn::Scope(state), *config);
    nn::load_state(state, weights, "weights");
    return model.forward(get("in.x"), get("in.t"), {.label = get("in.y")});
  }
  const models::PixArt model(nn::Scope(state),
                             std::get<models::PixArtConfig>(official.identity.architecture));
  nn::load_state(state, weights, "weights", {{"y_embedder.y_embedding"}, {}});
  models::Condition text;
  text.caption = get("in.y"), text.mask = get("in.mask");
  text.image_size = get("in.img_hw"), text.aspect_ratio = get("in.aspect_ratio");
  return model.forward(get("in.x"), get("in.t"), text);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: pixart_forward WEIGHTS INPUTS OUT\n"), 78;
  try {
    const at::Tensor output = forward(convert::to_official(convert::open_and_identify(argv[1])),
                                      formats::load_safetensors(argv[2]).tensors);
    formats::save_safetensors(argv[3], {{"out.output", output}});
    return 0;
  } catch (const UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
