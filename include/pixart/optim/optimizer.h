// The optimizer that a run file selects by name, on flat parameters.
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
#include "pixart/optim/muon.h"

namespace pixart::optim {

enum class OptimizerName { kAdamW, kCame, kMuon };
inline EnumWords<OptimizerName> enum_words(OptimizerName) {
  return {{"adamw", OptimizerName::kAdamW}, {"came", OptimizerName::kCame}, {"muon", OptimizerName::kMuon}};
}

struct OptimizerConfig {
  OptimizerName name = OptimizerName::kAdamW;
  double lr = 2e-5;
  // Unset values (betas: empty) become the published ones, which differ between the optimizers.
  std::vector<double> betas = {};
  std::optional<double> eps = {}, weight_decay = {};
  std::optional<double> residual_eps = {}, clip_threshold = {};  // came only
  std::vector<std::string> no_decay = {};
  bool shard = false;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name,
      "adamw (PixArt-alpha); came (PixArt-sigma), whose state is about half as large; or muon, which makes the updates of "
      "matrices orthogonal and leaves the other parameters to adamw.",
      any());
    v("lr", s.lr, "Peak learning rate, reached after warm-up.",
      positive_up_to(1000).needs_permission("the next steps use it"));
    v("betas", s.betas,
      "Decay rates of the moments: two for adamw, three for came, and for muon that of the matrices before adamw's "
      "two. Empty: [0.9, 0.999]; for came [0.9, 0.999, 0.9999]; for muon [0.95, 0.9, 0.999].",
      in_range(0, 1).needs_permission("the next steps use it; the moments go on"));
    v("eps", s.eps,
      "adamw and muon: added to the root of the second moment (unset: 1e-10); came: to the squared gradient (1e-30).",
      positive_up_to(1).needs_permission("the next steps use it"));
    v("weight_decay", s.weight_decay,
      "Decoupled weight decay of all parameters except those of no_decay. Unset: 0.03; for came 0; for muon 0.1.",
      in_range(0, 1000).needs_permission("the next steps use it"));
    v("residual_eps", s.residual_eps,
      "came: added to the squared difference between an update and its moving mean (unset: 1e-16).",
      positive_up_to(1).needs_permission("the next steps use it"));
    v("clip_threshold", s.clip_threshold,
      "came: largest root mean square of one tensor's update, before lr (unset: 1).",
      positive_up_to(1e6).needs_permission("the next steps use it"));
    v("no_decay", s.no_decay,
      "Names of the parameters without weight decay, as patterns such as `*.bias` or `*norm*`. Empty, as in "
      "the released code: no parameters.",
      any().needs_permission("the next steps use it"));
    v("shard", s.shard,
      "Each rank keeps the optimizer's state and the EMA only for its share of the parameters (ZeRO-1). "
      "Results do not change.",
      any().free());
  }
  void validate(std::vector<std::string>& problems) const;
};

// The config with the published values for everything that is unset.
OptimizerConfig resolved(OptimizerConfig config);

// A tensor of the state (not a copy). `key` is its name for the parameter, e.g. "exp_avg".
struct StateTensor {
  std::string key;
  size_t parameter;  // its index among the model's trained parameters
  at::Tensor tensor;
};

// Elements [begin, end) of a flat buffer, whose learning rate is multiplied by `factor`.
struct RateRange {
  int64_t begin = 0, end = 0;
  double factor = 1;
};

class Optimizer {
 public:
  // Every later call must pass the same `parameters`. `matrices`: of muon only, matrices_in() of each parameter of the
  // model (also of those that a part leaves out); empty: there are none. `rates`: of adamw only, for each parameter of the
  // model factors of the learning rate of the equal parts in which it is cut in its first dimension; empty: 1. Weight decay
  // stays lr * weight_decay.
  Optimizer(const OptimizerConfig& config, const FlatParameters& parameters,
            const std::vector<int64_t>& matrices = {}, const std::vector<std::vector<double>>& rates = {});

  // One update, including clipping by gradient_scale and the EMA; see adamw.h, came.h and muon.h.
  void step(const FlatParameters& parameters, double lr, const GradientScale& gradient_scale,
            const at::Tensor& ema, double ema_decay);

  OptimizerName name() const { return name_; }
  int64_t& steps();  // updates done
  std::vector<StateTensor> state(const FlatParameters& parameters) const;

 private:
  struct AdamW {
    AdamWConfig config;
    AdamWState state;
    std::vector<RateRange> rates;  // empty: all are 1
  };
  struct Came {
    CameConfig config;
    CameState state;
  };
  struct Muon {
    MuonConfig config;
    std::vector<int64_t> matrices;  // of the parameters
    MuonState state;
  };
  OptimizerName name_;
  std::variant<AdamW, Came, Muon> method_;
};

}  // namespace pixart::optim
