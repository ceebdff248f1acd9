// Licences as the Hugging Face Hub knows them.
#pragma once
#include <string>

namespace pixart::convert {

// The lines of a card's front matter for a licence in the words of the metadata: "license: apache-2.0\n"; for words
// that are not the name of one licence "license: other\n" with a license_name.
std::string hub_license(const std::string& license);

}  // namespace pixart::convert
