// The time of day as a number, for files whose format asks for one; it decides nothing.
#pragma once

namespace pixart {

double unix_seconds();  // since 1970

}  // namespace pixart
