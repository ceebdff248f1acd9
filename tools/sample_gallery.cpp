#include "sample_gallery.h"

#include <fmt/format.h>

#include "pixart/base/html.h"
#include "pixart/base/words.h"

namespace pixart::tools {

namespace {

constexpr const char* kStyle = R"(
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1.5rem 1rem; }
.gallery figure { margin: 0; break-inside: avoid; }
.gallery img { width: 100%; image-rendering: auto; display: block; }
.gallery figcaption { padding-top: .4rem; }
.gallery dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: .3rem 0; font-size: .85em; }
.gallery dd { margin: 0; overflow-wrap: anywhere; }
)";

std::string figure(const GalleryImage& image) {
  std::string details;
  for (const auto& [key, value] : image.text)
    if (key != "prompt" && !value.empty())
      details += fmt::format("<dt>{}</dt><dd>{}</dd>", html_escaped(key), html_escaped(value));
  const std::string prompt = html_escaped(image.text.at("prompt"));
  return fmt::format(
      "<figure><a href=\"{0}\"><img src=\"{0}\" alt=\"{1}\" loading=\"lazy\"></a><figcaption>{1}"
      "<details><summary>how it was made</summary><dl>{2}</dl></details></figcaption></figure>\n",
      html_escaped(image.file), prompt, details);
}

}  // namespace

std::string gallery_page(const std::vector<GalleryImage>& images, int64_t total) {
  const auto shown = int64_t(images.size());
  const std::string of_all = shown < total ? fmt::format("The first {} of ", with_thousands(shown)) : "";
  std::string body =
      fmt::format("<p class=\"note\">{}{} images; a click opens one.</p>\n<div class=\"gallery\">\n", of_all,
                  with_thousands(total));
  for (const auto& image : images) body += figure(image);
  return html_page("Images", body + "</div>\n", kStyle);
}

}  // namespace pixart::tools
