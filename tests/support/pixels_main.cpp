// pixart_pixels FILE... : a line of JSON for each image file with its decoded size and the SHA-256 of its
// pixels, or the reason why it is refused, for scripts that compare us with other libraries. With
// --raw FOLDER, the pixels too, in FOLDER/<number of the file>.rgb.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"

namespace {

std::string_view bytes_of(const pixart::Image& image) {
  return {reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()};
}

nlohmann::json describe(const std::string& file, const std::string& raw_file) {
  try {
    const pixart::Image image = pixart::formats::load_image(file);
    if (!raw_file.empty()) pixart::write_file_atomically(raw_file, std::string(bytes_of(image)));
    return {{"size", {image.width, image.height}}, {"sha256", pixart::formats::sha256(bytes_of(image))}};
  } catch (const pixart::formats::ImageError& error) {
    return {{"fault", int(error.fault())}, {"error", error.what()}};
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool writes = argc > 2 && std::string_view(argv[1]) == "--raw";
  const int first = writes ? 3 : 1;
  if (argc <= first) return std::fprintf(stderr, "usage: pixart_pixels [--raw FOLDER] FILE...\n"), 78;
  try {
    for (int i = first; i < argc; ++i) {
      const std::string raw = writes ? std::string(argv[2]) + "/" + std::to_string(i - first) + ".rgb" : "";
      std::cout << describe(argv[i], raw).dump() << '\n';
    }
    return 0;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
