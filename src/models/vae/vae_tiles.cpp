#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/models/vae.h"

namespace pixart::models {

namespace {

// Replaces the first `extent` lines of `tile` along `dim` by a mixture with the last ones of `before`, whose
// share falls from 1 line by line.
void blend(const at::Tensor& before, const at::Tensor& tile, int64_t dim, int64_t extent) {
  extent = std::min({extent, before.size(dim), tile.size(dim)});
  std::vector<int64_t> along(size_t(tile.dim()), 1);
  along[size_t(dim)] = extent;
  const at::Tensor share =
      (at::arange(extent, tile.options().dtype(at::kFloat)) / double(extent)).view(along);
  const at::Tensor end = before.narrow(dim, before.size(dim) - extent, extent);
  at::Tensor begin = tile.narrow(dim, 0, extent);
  begin.copy_(end * (1 - share) + begin * share);
}

// The last lines of a tile, in memory of their own.
at::Tensor last_lines(const at::Tensor& tile, int64_t dim, int64_t count) {
  count = std::min(count, tile.size(dim));
  return tile.narrow(dim, tile.size(dim) - count, count).clone();
}

// Of AutoencoderKl, or of any loaded autoencoder.
template <class Vae>
at::Tensor tiled(const Vae& vae, const at::Tensor& latent, const Tiling& tiling) {
  PIXART_CHECK(tiling.tile >= 1 && tiling.overlap >= 0 && tiling.overlap < 1 && tiling.is_whole(),
               "tiles of {} with an overlap of {}", tiling.tile, tiling.overlap);
  at::NoGradGuard no_grad;
  const int64_t height = latent.size(2), width = latent.size(3);
  if (height <= tiling.tile && width <= tiling.tile) return vae.decode(latent);
  const int64_t scale = vae.config().downscale(), step = tiling.tile - tiling.shared(),
                extent = tiling.shared() * scale;
  at::Tensor image;
  std::vector<at::Tensor> above, row;  // the last lines of the blended tiles of two rows
  for (int64_t y = 0; y < height; y += step) {
    at::Tensor left;
    for (int64_t x = 0; x < width; x += step) {
      const at::Tensor tile = vae.decode(latent.narrow(2, y, std::min(tiling.tile, height - y))
                                             .narrow(3, x, std::min(tiling.tile, width - x)));
      if (y > 0) blend(above[row.size()], tile, 2, extent);
      if (x > 0) blend(left, tile, 3, extent);
      if (!image.defined())
        image = at::empty({latent.size(0), tile.size(1), height * scale, width * scale}, tile.options());
      const int64_t rows = std::min(step * scale, tile.size(2)), cols = std::min(step * scale, tile.size(3));
      image.narrow(2, y * scale, rows)
          .narrow(3, x * scale, cols)
          .copy_(tile.narrow(2, 0, rows).narrow(3, 0, cols));
      left = last_lines(tile, 3, extent);
      row.push_back(last_lines(tile, 2, extent));
    }
    above = std::move(row);
    row.clear();
  }
  return image;
}

}  // namespace

at::Tensor decode_tiled(const AutoencoderKl& vae, const at::Tensor& latent, const Tiling& tiling) {
  return tiled(vae, latent, tiling);
}

at::Tensor decode_tiled(const LoadedVae& loaded, const at::Tensor& latent, const Tiling& tiling) {
  return tiled(loaded, latent, tiling);
}

}  // namespace pixart::models
