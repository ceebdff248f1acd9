// Damaged images, written anew with what Pillow reads of them, so that the libraries take them, too.
#pragma once
#include <string>
#include <string_view>

namespace pixart::formats {

// Each returns "" if Pillow does not read such a file either, or if there is nothing to mend.

// Header, palette, transparency and all data of the pixels, whose checksums are not compared; without an end.
std::string mended_png(std::string_view png);

// Screen, palettes, the first image and all whole blocks after it; bytes between the parts are left out.
std::string mended_gif(std::string_view gif);

// A file whose pixels are not compressed, with another directory of its first page: tags that cannot be read are left
// out, the sizes of its strips or tiles follow from the image, and those that are missing are black. Other files are libtiff's in Pillow, too.
std::string mended_tiff(std::string_view tiff);

}  // namespace pixart::formats
