// Caption cleaning by the rules of the released T5 embedder (DeepFloyd IF): removes URLs, HTML, file names,
// ids, repeated punctuation and so on. Invalid UTF-8 becomes U+FFFD; the result is valid, and no caption is
// an error. src/text/README.md says which repairs of ftfy are done.
#pragma once
#include <string>
#include <string_view>

namespace pixart::text {
std::string clean_caption(std::string_view caption);        // one pass
std::string clean_caption_twice(std::string_view caption);  // the training setting
std::string plain_caption(std::string_view caption);        // without cleaning: lower-case and strip only
}  // namespace pixart::text
