// Golden kinds optimizer and lr_schedule.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "golden.h"
#include "golden_device.h"
#include "pixart/optim/adamw.h"
#include "pixart/optim/came.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/optim/lr_schedule.h"
#include "pixart/optim/muon.h"

namespace pixart::optim {
namespace {

using testing::expect_golden;
using testing::golden_cases;
using testing::GoldenCase;

std::vector<std::string> names_under(const GoldenCase& c, const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : c.tensors) {
    if (name.starts_with(prefix)) names.push_back(name.substr(prefix.size()));
  }
  return names;
}

FlatParameters flat_copy(const GoldenCase& c, const std::string& prefix,
                         const std::vector<std::string>& names,
                         const at::Device& device = testing::golden_device()) {
  std::vector<at::Tensor> parameters;
  for (const auto& name : names) {
    parameters.push_back(c.tensor(prefix + name)
                             .to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true)
                             .set_requires_grad(true));
  }
  return FlatParameters(parameters);
}

// Copies row `step` of <prefix><name> into the buffer's views; bfloat16 inputs become the float32 that is
// stepped.
void load_step(const GoldenCase& c, const std::string& prefix, const std::vector<std::string>& names,
               int64_t step, const std::vector<at::Tensor>& views) {
  for (size_t i = 0; i < names.size(); ++i) views[i].copy_(c.tensor(prefix + names[i])[step]);
}

// What a buffer's views were after each step.
class History {
 public:
  void record(const std::vector<at::Tensor>& views) {
    steps_.resize(views.size());
    for (size_t i = 0; i < views.size(); ++i)
      steps_[i].push_back(views[i].detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true));
  }
  at::Tensor of(size_t i) const { return at::stack(steps_.at(i)); }

 private:
  std::vector<std::vector<at::Tensor>> steps_;
};

double lr_at(const GoldenCase& c, int64_t step) {
  const auto& lr = c.config().at("lr");
  return (lr.is_array() ? lr.at(size_t(step)) : lr).get<double>();
}

// Makes all steps of a case: step(learning rate, clip factor) after the gradients are loaded. Checks norms
// and parameters.
template <class Step>
void check_steps(const GoldenCase& c, const std::vector<std::string>& names, FlatParameters& flat,
                 const Step& step) {
  const auto& config = c.config();
  const auto& limit = config.at("max_grad_norm");
  History history;
  std::vector<double> norms;
  for (int64_t i = 0; i < config.at("steps"); ++i) {
    load_step(c, "in.grad.", names, i, flat.views(flat.gradients()));
    norms.push_back(gradient_norm(flat.gradients()));
    step(lr_at(c, i), limit.is_null() ? 1.0 : clip_factor(norms.back(), limit.get<double>()));
    history.record(flat.views(flat.values()));
  }
  // The norm of bfloat16 gradients is stored in bfloat16.
  expect_golden(c, "out.grad_norm",
                at::tensor(norms, at::kDouble).to(c.tensor("out.grad_norm").scalar_type()));
  const bool master = config.value("master", false);
  for (size_t i = 0; i < names.size(); ++i) {
    if (master) expect_golden(c, "out.master." + names[i], history.of(i));
    expect_golden(c, "out.param." + names[i], master ? history.of(i).to(at::kBFloat16) : history.of(i));
  }
}

void check_adamw(const GoldenCase& c) {
  const auto& config = c.config();
  const AdamWConfig adamw{
      .betas = config.at("betas"), .eps = config.at("eps"), .weight_decay = config.at("weight_decay")};
  const auto names = names_under(c, "in.param.");
  FlatParameters flat = flat_copy(c, "in.param.", names);
  AdamWState state = make_adamw_state(flat.values());
  check_steps(c, names, flat, [&](double lr, double scale) {
    at::Tensor values = flat.values();
    adamw_step(values, flat.gradients(), state, adamw, lr, scale);
  });
  const auto exp_avg = flat.views(state.exp_avg), exp_avg_sq = flat.views(state.exp_avg_sq);
  for (size_t i = 0; i < names.size(); ++i) {
    expect_golden(c, "out.state." + names[i] + ".exp_avg", exp_avg[i].cpu());
    expect_golden(c, "out.state." + names[i] + ".exp_avg_sq", exp_avg_sq[i].cpu());
  }
}

void check_came(const GoldenCase& c) {
  const auto& config = c.config();
  const CameConfig came{.betas = config.at("betas"),
                        .eps = config.at("eps").at(0),
                        .residual_eps = config.at("eps").at(1),
                        .clip_threshold = config.at("clip_threshold"),
                        .weight_decay = config.at("weight_decay")};
  const auto names = names_under(c, "in.param.");
  FlatParameters flat = flat_copy(c, "in.param.", names);
  CameState state = make_came_state(flat);
  check_steps(c, names, flat, [&](double lr, double scale) { came_step(flat, state, came, lr, scale); });
  const auto exp_avg = flat.views(state.exp_avg);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string prefix = "out.state." + names[i] + ".";
    const CameMoments& moments = state.moments[i];
    expect_golden(c, prefix + "exp_avg", exp_avg[i].cpu());
    for (const auto& [key, tensor] :
         {std::pair{"exp_avg_sq", moments.exp_avg_sq}, std::pair{"exp_avg_sq_row", moments.exp_avg_sq_row},
          std::pair{"exp_avg_sq_col", moments.exp_avg_sq_col},
          std::pair{"exp_avg_res_row", moments.exp_avg_res_row},
          std::pair{"exp_avg_res_col", moments.exp_avg_res_col}}) {
      EXPECT_EQ(tensor.defined(), c.has(prefix + key)) << prefix << key;
      if (tensor.defined()) expect_golden(c, prefix + key, tensor.cpu());
    }
  }
}

void check_muon(const GoldenCase& c) {
  const auto& config = c.config();
  const std::vector<double> betas = config.at("betas");
  const MuonConfig muon{.momentum = betas.at(0),
                        .others = {.betas = {betas.at(1), betas.at(2)},
                                   .eps = config.at("eps"),
                                   .weight_decay = config.at("weight_decay")}};
  const auto names = names_under(c, "in.param.");
  FlatParameters flat = flat_copy(c, "in.param.", names, at::kCPU);  // products are in bfloat16 on a GPU
  std::vector<int64_t> matrices;
  for (const auto& name : names) matrices.push_back(config.at("matrices").value(name, 0));
  MuonState state = make_muon_state(flat, matrices);
  check_steps(c, names, flat,
              [&](double lr, double scale) { muon_step(flat, matrices, state, muon, lr, scale); });
  const auto values = flat.views(flat.values()), exp_avg = flat.views(state.exp_avg);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string prefix = "out.state." + names[i] + ".";
    expect_golden(c, prefix + "exp_avg", exp_avg[i]);
    EXPECT_EQ(state.exp_avg_sq[i].defined(), matrices[i] == 0) << names[i];
    if (matrices[i] == 0) expect_golden(c, prefix + "exp_avg_sq", state.exp_avg_sq[i]);
    if (matrices[i] > 0) expect_golden(c, "out.bfloat16." + names[i], values[i]);
  }
}

void check_ema(const GoldenCase& c) {
  const auto names = names_under(c, "in.ema.");
  FlatParameters flat = flat_copy(c, "in.ema.", names);
  at::Tensor ema = flat.values(), values = at::empty_like(ema);
  History history;
  for (int64_t step = 0; step < c.config().at("steps"); ++step) {
    load_step(c, "in.param.", names, step, flat.views(values));
    ema_update(ema, values, c.config().at("decay"));
    history.record(flat.views(ema));
  }
  for (size_t i = 0; i < names.size(); ++i) expect_golden(c, "out.ema." + names[i], history.of(i));
}

TEST(Golden, Optimizer) {
  const std::map<std::string, void (*)(const GoldenCase&)> checks = {
      {"adamw", check_adamw}, {"came", check_came}, {"ema", check_ema}, {"muon", check_muon}};
  std::map<std::string, int> seen;
  for (const auto& c : golden_cases("optimizer")) {
    SCOPED_TRACE(c.name);
    const std::string optimizer = c.config().at("optimizer");
    ASSERT_TRUE(checks.contains(optimizer)) << optimizer << " is not tested";
    checks.at(optimizer)(c);
    ++seen[optimizer];
  }
  for (const auto& [optimizer, check] : checks) EXPECT_GT(seen[optimizer], 0) << optimizer;
}

TEST(Golden, LrSchedule) {
  for (const auto& c : golden_cases("lr_schedule")) {
    SCOPED_TRACE(c.name);
    const auto& config = c.config();
    LrScheduleConfig schedule;
    schedule.schedule = enum_of_word<LrShape>(config.at("schedule"), "schedule");
    schedule.warmup_steps = config.at("warmup_steps");
    int64_t global_batch = 1;
    if (const auto& rule = config.at("auto_lr"); !rule.is_null()) {
      schedule.batch_rule = enum_of_word<BatchRule>(rule.at("rule"), "batch rule");
      for (const char* factor : {"batch_per_device", "devices", "accumulation"})
        global_batch *= rule.at(factor).get<int64_t>();
    }
    const double base_lr = config.at("base_lr");
    const at::Tensor step = c.tensor("in.step");
    std::vector<double> rates;
    for (int64_t i = 0; i < step.numel(); ++i) {
      rates.push_back(learning_rate(schedule, base_lr, global_batch, config.at("training_steps"),
                                    step[i].item<int64_t>()));
    }
    expect_golden(c, "out.lr", at::tensor(rates, at::kDouble));
    expect_golden(c, "out.peak_lr", at::scalar_tensor(peak_lr(schedule, base_lr, global_batch), at::kDouble));
  }
}

}  // namespace
}  // namespace pixart::optim
