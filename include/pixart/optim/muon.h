// Muon (Jordan et al. 2024; results as torch.optim.Muon in 2.11) for the matrices between layers, and AdamW for all other
// parameters.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "pixart/optim/adamw.h"
#include "pixart/optim/flat_parameters.h"

namespace pixart::optim {

struct MuonConfig {
  double momentum = 0.95;  // of matrices, as Nesterov's
  // Of the other parameters. Its weight decay is that of all of them.
  AdamWConfig others = {.betas = {0.9, 0.999}, .eps = 1e-10, .weight_decay = 0.1};
};

// How many matrices of equal size a parameter holds one above the other, by its published name: 3 in qkv, 2 in kv, 6 in a
// modulation, otherwise 1. 0: AdamW updates it. These are vectors, tables, convolutions, adapters, and the embedders and the
// final layer.
int64_t matrices_in(const std::string& name, at::IntArrayRef shape);

// `matrices`, in all functions: that number for each of `parameters`; they are cut in their first dimension.
struct MuonState {
  at::Tensor exp_avg;                  // flat: the momentum of matrices, the first moment of the others
  std::vector<at::Tensor> exp_avg_sq;  // of each parameter; undefined for matrices
  int64_t steps = 0;                   // updates done
  std::shared_ptr<DeviceNumbers> numbers = {};
};
MuonState make_muon_state(const FlatParameters& parameters, const std::vector<int64_t>& matrices);

// [n, rows, columns] -> about U V^T of each U S V^T (singular values near 1, from 0.5 to 1.5): five quintic Newton-Schulz steps. In
// bfloat16 on a GPU; in float32 on a CPU, where bfloat16 products are slower.
at::Tensor newton_schulz(const at::Tensor& matrices);

// Each matrix moves by lr * 0.2 * sqrt(max(rows, columns)) times newton_schulz() of its momentum, so that an update has
// the root mean square of AdamW's and both share lr and weight decay (Liu et al. 2025, Moonlight). First multiplies
// gradients by gradient_scale (the clip factor). With a defined `ema`, a flat buffer, sets ema <- decay * ema + (1 - decay)
// * values at the end.
void muon_step(const FlatParameters& parameters, const std::vector<int64_t>& matrices, MuonState& state,
               const MuonConfig& config, double lr, const GradientScale& gradient_scale = {},
               const at::Tensor& ema = {}, double ema_decay = 0.0);

}  // namespace pixart::optim
