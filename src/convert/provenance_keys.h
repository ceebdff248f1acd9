// Metadata keys of the files that this program writes.
#pragma once

namespace pixart::convert {
inline constexpr const char* kArchitectureKey = "pixart.architecture";  // JSON, see architecture_text()
inline constexpr const char* kFormatVersionKey = "pixart.format_version";
inline constexpr const char* kProducerKey = "pixart.producer";      // "pixart 0.1.0"
inline constexpr const char* kParentsKey = "pixart.parents";        // JSON: [{"file", "sha256"}]
inline constexpr const char* kConversionKey = "pixart.conversion";  // how the file was made from its parents
inline constexpr const char* kProcessKey = "pixart.process";        // JSON, see process_text()
inline constexpr const char* kLoraKey = "pixart.lora";              // JSON: {"rank", "alpha"}
inline constexpr const char* kLicenseKey = "pixart.license";
}  // namespace pixart::convert
