#include "estimate.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {

template <class Factor>
at::Tensor xstart_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent,
                       const Factor& alpha, const Factor& sigma) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return (latent - sigma * output) / alpha;
    case Prediction::kXStart:
      return output;
    case Prediction::kV:
      return alpha * latent - sigma * output;
    case Prediction::kFlow:
      return latent - sigma * output;
  }
  PIXART_CHECK(false, "prediction {}", int(prediction));
}

template <class Factor>
at::Tensor noise_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent,
                      const Factor& alpha, const Factor& sigma) {
  switch (prediction) {
    case Prediction::kEpsilon:
      return output;
    case Prediction::kXStart:
      return (latent - alpha * output) / sigma;
    case Prediction::kV:
      return alpha * output + sigma * latent;
    case Prediction::kFlow:
      return latent + alpha * output;
  }
  PIXART_CHECK(false, "prediction {}", int(prediction));
}

template at::Tensor xstart_from(Prediction, const at::Tensor&, const at::Tensor&, const double&,
                                const double&);
template at::Tensor xstart_from(Prediction, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&);
template at::Tensor noise_from(Prediction, const at::Tensor&, const at::Tensor&, const double&,
                               const double&);
template at::Tensor noise_from(Prediction, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const at::Tensor&);

}  // namespace pixart::diffusion
