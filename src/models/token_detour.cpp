#include "token_detour.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"

namespace pixart::models {

int64_t TokenRoute::num_kept(int64_t tokens, double rate) {
  return std::max<int64_t>(1, tokens - std::llround(rate * double(tokens)));
}

at::Tensor TokenDetour::index_for(const at::Tensor& x) const {
  return route_.kept.unsqueeze(2).expand({-1, -1, x.size(2)});
}

bool TokenDetour::turns(size_t next) const {
  return route_.kept.defined() && route_.from != route_.to &&
         (int64_t(next) == route_.from || int64_t(next) == route_.to);
}

at::Tensor TokenDetour::before(size_t next, const at::Tensor& x) {
  if (!turns(next)) return x;
  if (int64_t(next) == route_.from) {
    PIXART_CHECK(x.size(0) == route_.kept.size(0), "routes of {} images, {} images", route_.kept.size(0),
                 x.size(0));
    all_ = x;
    return x.gather(1, index_for(x));
  }
  return all_.scatter(1, index_for(x), x);
}

}  // namespace pixart::models
