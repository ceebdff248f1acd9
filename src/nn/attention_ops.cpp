#include "attention_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "fused_ops.h"
#include "kernels/attention_cpu.h"
#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Where the heads of a batch are. Self-attention has queries, keys and values in one tensor; otherwise the keys
// and values of sample b are the rows [starts[b], starts[b + 1]) of another one.
struct Places {
  int64_t batch, queries, width, num_heads;
  const int64_t* starts;  // null: self-attention

  Places(const at::Tensor& q, const at::Tensor& starts_of_texts, int64_t heads)
      : batch(q.size(0)),
        queries(q.size(1)),
        width(starts_of_texts.defined() ? q.size(2) : q.size(2) / 3),
        num_heads(heads),
        starts(starts_of_texts.defined() ? starts_of_texts.const_data_ptr<int64_t>() : nullptr) {
    PIXART_CHECK(width % heads == 0, "{} heads of width {}", heads, width);
  }

  int64_t size() const { return width / num_heads; }
  int64_t keys(int64_t sample) const { return starts ? starts[sample + 1] - starts[sample] : queries; }

  // Offsets of one head of one sample, in numbers.
  int64_t q_stride() const { return starts ? width : 3 * width; }
  int64_t q_at(int64_t sample, int64_t head) const { return sample * queries * q_stride() + head * size(); }
  int64_t out_at(int64_t sample, int64_t head) const { return sample * queries * width + head * size(); }
  int64_t kv_stride() const { return starts ? 2 * width : 3 * width; }
  int64_t k_at(int64_t sample, int64_t head) const {
    return starts ? starts[sample] * kv_stride() + head * size() : q_at(sample, head) + width;
  }
  int64_t v_at(int64_t sample, int64_t head) const { return k_at(sample, head) + width; }

  kernels::Head head(const float* q, const float* kv, int64_t sample, int64_t head) const {
    return {.q = {q + q_at(sample, head), q_stride()},
            .k = {kv + k_at(sample, head), kv_stride()},
            .v = {kv + v_at(sample, head), kv_stride()},
            .queries = queries,
            .keys = keys(sample),
            .size = size()};
  }

  // work(sample, head, memory of the thread)
  template <class Work>
  void for_each_head(Work work) const {
    at::parallel_for(0, batch * num_heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch;
      for (int64_t i = begin; i < end; ++i) work(i / num_heads, i % num_heads, scratch);
    });
  }
};

struct Attended {
  at::Tensor out, softmax;  // [B, N, D]; [2, B, heads, N]
};

kernels::Softmax softmax_of(const at::Tensor& softmax, const Places& places, int64_t sample, int64_t head) {
  float* largest = softmax.mutable_data_ptr<float>() + (sample * places.num_heads + head) * places.queries;
  return {.largest = largest, .inverse = largest + softmax.numel() / 2};
}

Attended attend(const at::Tensor& q, const at::Tensor& kv, const at::Tensor& starts, int64_t num_heads) {
  const Places places(q, starts, num_heads);
  Attended result{at::empty({places.batch, places.queries, places.width}, q.options()),
                  at::empty({2, places.batch, num_heads, places.queries}, q.options())};
  const auto *from_q = q.const_data_ptr<float>(), *from_kv = kv.const_data_ptr<float>();
  auto* to = result.out.mutable_data_ptr<float>();
  places.for_each_head([&](int64_t sample, int64_t head, std::vector<float>& scratch) {
    kernels::attention(places.head(from_q, from_kv, sample, head),
                       {to + places.out_at(sample, head), places.width},
                       softmax_of(result.softmax, places, sample, head), scratch);
  });
  return result;
}

struct Attention : torch::autograd::Function<Attention> {
  // Without kv and starts: self-attention, whose q has all three.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q,
                            const std::optional<at::Tensor>& kv, const std::optional<at::Tensor>& starts,
                            int64_t num_heads) {
    const at::Tensor text = kv.value_or(at::Tensor()), places = starts.value_or(at::Tensor());
    const Attended result = attend(q, kv ? text : q, places, num_heads);
    context->save_for_backward({q, text, places, result.out, result.softmax});
    context->saved_data["num_heads"] = num_heads;
    return result.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &starts = saved[2], &out = saved[3], &softmax = saved[4];
    const bool has_texts = saved[1].defined();
    const at::Tensor gradient = gradients[0].contiguous(), kv = has_texts ? saved[1] : q,
                     to_q = at::empty_like(q), to_kv = has_texts ? at::empty_like(kv) : to_q;
    const Places places(q, starts, context->saved_data["num_heads"].toInt());
    const auto *from_q = q.const_data_ptr<float>(), *from_kv = kv.const_data_ptr<float>(),
               *own = out.const_data_ptr<float>(), *down = gradient.const_data_ptr<float>();
    auto *with_q = to_q.mutable_data_ptr<float>(), *with_kv = to_kv.mutable_data_ptr<float>();
    places.for_each_head([&](int64_t sample, int64_t head, std::vector<float>& scratch) {
      const int64_t at = places.out_at(sample, head);
      kernels::attention_backward(places.head(from_q, from_kv, sample, head), {own + at, places.width},
                                  softmax_of(softmax, places, sample, head), {down + at, places.width},
                                  {.q = {with_q + places.q_at(sample, head), places.q_stride()},
                                   .k = {with_kv + places.k_at(sample, head), places.kv_stride()},
                                   .v = {with_kv + places.v_at(sample, head), places.kv_stride()}},
                                  scratch);
    });
    return {to_q, has_texts ? to_kv : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool has_fused_attention(const at::Tensor& x) { return x.is_cpu() && has_fused_form(x); }

at::Tensor self_attention(const at::Tensor& qkv, int64_t num_heads) {
  const at::Tensor rows = qkv.contiguous();
  if (!needs_gradient({rows})) return attend(rows, rows, {}, num_heads).out;
  return Attention::apply(rows, std::optional<at::Tensor>(), std::optional<at::Tensor>(), num_heads);
}

at::Tensor text_attention(const at::Tensor& q, const at::Tensor& kv, const at::Tensor& starts,
                          int64_t num_heads) {
  PIXART_CHECK(starts.numel() == q.size(0) + 1, "{} texts for {} samples", starts.numel() - 1, q.size(0));
  const at::Tensor queries = q.contiguous(), rows = kv.contiguous();
  if (!needs_gradient({queries, rows})) return attend(queries, rows, starts, num_heads).out;
  return Attention::apply(queries, std::optional(rows), std::optional(starts), num_heads);
}

}  // namespace pixart::nn
