#include "hub_license.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "markdown.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"

namespace pixart::convert {

namespace {

constexpr std::array<std::string_view, 31> kIdentifiers = {"apache-2.0",
                                                           "mit",
                                                           "bsd-2-clause",
                                                           "bsd-3-clause",
                                                           "cc0-1.0",
                                                           "cc-by-3.0",
                                                           "cc-by-4.0",
                                                           "cc-by-sa-3.0",
                                                           "cc-by-sa-4.0",
                                                           "cc-by-nc-2.0",
                                                           "cc-by-nc-3.0",
                                                           "cc-by-nc-4.0",
                                                           "cc-by-nd-4.0",
                                                           "cc-by-nc-nd-3.0",
                                                           "cc-by-nc-nd-4.0",
                                                           "cc-by-nc-sa-2.0",
                                                           "cc-by-nc-sa-3.0",
                                                           "cc-by-nc-sa-4.0",
                                                           "gpl-2.0",
                                                           "gpl-3.0",
                                                           "lgpl-3.0",
                                                           "agpl-3.0",
                                                           "mpl-2.0",
                                                           "isc",
                                                           "unlicense",
                                                           "openrail",
                                                           "openrail++",
                                                           "creativeml-openrail-m",
                                                           "bigscience-openrail-m",
                                                           "bigcode-openrail-m",
                                                           "afl-3.0"};

}  // namespace

std::string hub_license(const std::string& license) {
  const std::string word = ascii_lower(trimmed(license));
  if (contains(kIdentifiers, word)) return "license: " + word + "\n";
  if (word.empty() || word.starts_with("not stated")) return "license: unknown\n";
  // Whatever else the words say (conditions, two licences), a reader must read them.
  constexpr size_t kLongest = 200;
  return "license: other\nlicense_name: " + yaml_text(license.substr(0, kLongest)) + "\n";
}

}  // namespace pixart::convert
