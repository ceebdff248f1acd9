// Names of files being written or deleted: .tmp-<own name>-<16 hex digits>, .del-<own name>-<16 hex digits>.
#pragma once
#include <string>
#include <string_view>

namespace pixart {

inline constexpr std::string_view kTemporaryPrefix = ".tmp-";
inline constexpr std::string_view kDeletedPrefix = ".del-";

std::string temporary_name(const std::string& own, std::string_view prefix);  // with new random digits

// The name for which temporary_name() made `name`; "" if `name` is not such a name.
std::string own_name(const std::string& name);

}  // namespace pixart
