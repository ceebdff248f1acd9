// The gallery page index.html for the images of `pixart sample`.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace pixart::tools {

struct GalleryImage {
  std::string file;                         // in the folder of the page
  std::map<std::string, std::string> text;  // of the PNG
};

std::string gallery_page(const std::vector<GalleryImage>& images);

}  // namespace pixart::tools
