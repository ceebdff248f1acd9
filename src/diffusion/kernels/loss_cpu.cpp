#include <algorithm>

#include "loss_element.h"

namespace pixart::diffusion::kernels {

template <class Output>
void loss_cpu(const LossInputs<Output>& inputs, const LossSetting& setting, const LossResults& results) {
  const int64_t chunks = loss_chunks(setting.per_image);
  for (int64_t image = 0; image < setting.batch; ++image) {
    const LossColumn column(setting.tables, inputs.t[image]);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      double mse = 0, vb = 0;
      const int64_t end = std::min(setting.per_image, (chunk + 1) * kLossChunk);
      for (int64_t i = chunk * kLossChunk; i < end; ++i) {
        const LossValue value = loss_of(setting, column, point_at(inputs, setting, image, i));
        mse += double(value.mse);
        vb += double(value.vb);
      }
      results.partials[2 * (image * chunks + chunk)] = mse;
      results.partials[2 * (image * chunks + chunk) + 1] = vb;
    }
    finish_image(setting, results, inputs.t, image);
  }
}

template <class Output>
void loss_gradient_cpu(const LossInputs<Output>& inputs, const LossSetting& setting, const float* scale,
                       Output* gradient) {
  for (int64_t image = 0; image < setting.batch; ++image) {
    const LossColumn column(setting.tables, inputs.t[image]);
    const ElementScales scales(setting, column, scale[image]);
    for (int64_t i = 0; i < setting.per_image; ++i)
      write_slope(setting, gradient, image, i,
                  slope_of(setting, column, point_at(inputs, setting, image, i), scales.mse, scales.vb));
  }
}

template void loss_cpu(const LossInputs<float>&, const LossSetting&, const LossResults&);
template void loss_cpu(const LossInputs<Bfloat16Bits>&, const LossSetting&, const LossResults&);
template void loss_gradient_cpu(const LossInputs<float>&, const LossSetting&, const float*, float*);
template void loss_gradient_cpu(const LossInputs<Bfloat16Bits>&, const LossSetting&, const float*,
                                Bfloat16Bits*);

}  // namespace pixart::diffusion::kernels
