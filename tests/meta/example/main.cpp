#include <ATen/ATen.h>

#include <iostream>

#include "pixart/models/transformer.h"

int main() {
  pixart::nn::StateDict state;
  const pixart::models::PixArt model(state, {{.input_size = 8, .hidden_size = 64, .depth = 2, .num_heads = 4},
                                             {.caption_channels = 32, .max_tokens = 6}});
  const at::Tensor output =
      model.forward(at::randn({1, 4, 8, 8}), at::full({1}, 500.0), {.caption = at::randn({1, 6, 32})});
  std::cout << state.num_parameters() << " parameters, output " << output.sizes() << "\n";
}
