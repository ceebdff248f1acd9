// index.html beside the pictures of `pixart sample`.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace pixart::tools {

struct GalleryPicture {
  std::string file;                         // beside the page
  std::map<std::string, std::string> text;  // of the PNG
};

std::string gallery_page(const std::vector<GalleryPicture>& pictures);

}  // namespace pixart::tools
