// The gallery page index.html for the images of `pixart sample`.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pixart::tools {

struct GalleryImage {
  std::string file;                         // in the folder of the page
  std::map<std::string, std::string> text;  // of the PNG
};

// `images`: the first of `total` images.
std::string gallery_page(const std::vector<GalleryImage>& images, int64_t total);

}  // namespace pixart::tools
