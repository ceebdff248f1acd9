// Metadata of the files that we write.
#pragma once

namespace pixart::convert {
inline constexpr const char* kArchitectureKey = "pixart.architecture";  // JSON, see architecture_text()
inline constexpr const char* kFormatVersionKey = "pixart.format_version";
inline constexpr const char* kProducerKey = "pixart.producer";      // "pixart 0.1.0"
inline constexpr const char* kParentsKey = "pixart.parents";        // JSON: [{"file", "sha256"}]
inline constexpr const char* kConversionKey = "pixart.conversion";  // what was done to the parents
inline constexpr const char* kLoraKey = "pixart.lora";              // JSON: {"rank", "alpha"}
inline constexpr const char* kLicenseKey = "pixart.license";
}  // namespace pixart::convert
