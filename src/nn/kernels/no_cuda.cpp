// The kernels of fused_cuda.h in a build without CUDA: none of them can run.
#include "fused_cuda.h"

namespace pixart::nn::kernels {

namespace {
constexpr const char* kNone = "this build has no CUDA kernels (no nvcc was found)";
}

int64_t parts_of(const ImageRows& rows) { return rows.tokens; }
int64_t gelu_parts_of(const ImageRows& rows) { return rows.tokens; }
int64_t join_parts_of(int64_t rows) { return rows; }
const char* sum_parts_cuda(const float*, float*, float*, const PartSizes&, void*) { return kNone; }

template <class T>
const char* bias_gelu_cuda(const T*, const float*, T*, const ImageRows&, void*) {
  return kNone;
}
template <class T>
const char* bias_gelu_backward_cuda(const T*, const float*, const T*, const BiasGeluGradients<T>&,
                                    const ImageRows&, void*) {
  return kNone;
}
template <class T>
const char* join_rows_cuda(const JoinedRows<T>&, int64_t, int64_t, void*) {
  return kNone;
}
template <class X, class V>
const char* gated_residual_cuda(const GatedResidual<X, V>&, const ImageRows&, void*) {
  return kNone;
}
template <class X, class V>
const char* gated_residual_backward_cuda(const GatedResidualGradients<X, V>&, const ImageRows&, void*) {
  return kNone;
}
template <class X, class V>
const char* residual_norm_cuda(const ResidualNorm<X, V>&, const ImageRows&, void*) {
  return kNone;
}
template <class X, class V>
const char* residual_norm_backward_cuda(const ResidualNormGradients<X, V>&, const ImageRows&, void*) {
  return kNone;
}

#define PIXART_INSTANTIATE(T)                                                                         \
  template const char* bias_gelu_cuda(const T*, const float*, T*, const ImageRows&, void*);           \
  template const char* bias_gelu_backward_cuda(const T*, const float*, const T*,                      \
                                               const BiasGeluGradients<T>&, const ImageRows&, void*); \
  template const char* join_rows_cuda(const JoinedRows<T>&, int64_t, int64_t, void*);
PIXART_INSTANTIATE(float)
PIXART_INSTANTIATE(Bfloat16)
#undef PIXART_INSTANTIATE

#define PIXART_INSTANTIATE(X, V)                                                                           \
  template const char* gated_residual_cuda(const GatedResidual<X, V>&, const ImageRows&, void*);           \
  template const char* gated_residual_backward_cuda(const GatedResidualGradients<X, V>&, const ImageRows&, \
                                                    void*);                                                \
  template const char* residual_norm_cuda(const ResidualNorm<X, V>&, const ImageRows&, void*);             \
  template const char* residual_norm_backward_cuda(const ResidualNormGradients<X, V>&, const ImageRows&,   \
                                                   void*);
PIXART_INSTANTIATE(float, float)
PIXART_INSTANTIATE(float, Bfloat16)
PIXART_INSTANTIATE(Bfloat16, Bfloat16)
#undef PIXART_INSTANTIATE

}  // namespace pixart::nn::kernels
