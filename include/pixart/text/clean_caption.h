// Caption cleaning by the rules of the released T5 embedder (DeepFloyd IF): URLs, HTML, file names, ids,
// repeated punctuation and so on go. Invalid UTF-8 becomes U+FFFD; the result is valid, and no caption is an
// error. What of ftfy's repairs is done and what is not stands in src/text/README.md.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {
std::string clean_caption(std::string_view caption);        // one pass
std::string clean_caption_twice(std::string_view caption);  // the training setting
std::string plain_caption(std::string_view caption);        // cleaning off: lower-case and strip
}  // namespace pixart::text
