// The time of day as a number, for file formats that store one. No decision depends on it.
#pragma once

namespace pixart {

double unix_seconds();  // since 1970

}  // namespace pixart
