# breaks: a key whose characters are escaped is not masked
# file: src/caption/secret.cpp
# tests: unit_caption
s/constexpr size_t kMostSlashes = 32;/constexpr size_t kMostSlashes = 0;/
