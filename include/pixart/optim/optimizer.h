// The optimizer that a run file chooses by name, on flat parameters.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/optim/adamw.h"
#include "pixart/optim/came.h"
#include "pixart/optim/flat_parameters.h"

namespace pixart::optim {

enum class OptimizerName { kAdamW, kCame };
inline EnumWords<OptimizerName> enum_words(OptimizerName) {
  return {{"adamw", OptimizerName::kAdamW}, {"came", OptimizerName::kCame}};
}

struct OptimizerConfig {
  OptimizerName name = OptimizerName::kAdamW;
  double lr = 2e-5;
  // What is unset (betas: empty) has the published value, which differs between the optimizers.
  std::vector<double> betas = {};
  std::optional<double> eps = {}, weight_decay = {};
  std::optional<double> residual_eps = {}, clip_threshold = {};  // came only
  std::vector<std::string> no_decay = {};
  bool shard = false;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "adamw (PixArt-alpha), or came (PixArt-sigma), which keeps about half of the state.",
      any());
    v("lr", s.lr, "Peak learning rate, reached after warm-up.", positive().needs_permission());
    v("betas", s.betas,
      "Decay rates of the moments: two for adamw, three for came. Empty: [0.9, 0.999], for came [0.9, 0.999, "
      "0.9999].",
      in_range(0, 1).needs_permission());
    v("eps", s.eps,
      "adamw: added to the root of the second moment (unset: 1e-10); came: to the squared gradient (1e-30).",
      positive().needs_permission());
    v("weight_decay", s.weight_decay,
      "Decoupled weight decay, of every parameter but those of no_decay. Unset: 0.03, for came 0.",
      not_negative().needs_permission());
    v("residual_eps", s.residual_eps,
      "came: added to the squared distance of an update to the averaged one (unset: 1e-16).",
      positive().needs_permission());
    v("clip_threshold", s.clip_threshold,
      "came: largest root mean square of one tensor's update, before lr (unset: 1).",
      positive().needs_permission());
    v("no_decay", s.no_decay,
      "Parameters without weight decay, by name: `*.bias`, `*norm*` and the like. Empty, as in the released "
      "code: none.",
      any().needs_permission());
    v("shard", s.shard,
      "Each rank keeps the optimizer's state and the average of its share of the parameters only (ZeRO-1). "
      "The numbers are the same.",
      any().free());
  }
  void validate(std::vector<std::string>& problems) const;
};

// With the published values in place of what is unset.
OptimizerConfig resolved(OptimizerConfig config);

// A tensor of the state, live: `key` says what it is to the parameter, e.g. "exp_avg".
struct StateTensor {
  std::string key;
  size_t parameter;  // its index among the model's trained ones
  at::Tensor tensor;
};

class Optimizer {
 public:
  // `parameters` must be those of every later call.
  Optimizer(const OptimizerConfig& config, const FlatParameters& parameters);

  // One update, with clipping by gradient_scale and the average folded in; see adamw.h and came.h.
  void step(const FlatParameters& parameters, double lr, double gradient_scale, const at::Tensor& ema,
            double ema_decay);

  OptimizerName name() const { return name_; }
  int64_t& steps();  // updates done
  std::vector<StateTensor> state(const FlatParameters& parameters) const;

 private:
  struct AdamW {
    AdamWConfig config;
    AdamWState state;
  };
  struct Came {
    CameConfig config;
    CameState state;
  };
  OptimizerName name_;
  std::variant<AdamW, Came> method_;
};

}  // namespace pixart::optim
