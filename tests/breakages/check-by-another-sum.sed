# breaks: the checksum in W&B's file does not cover the type of a chunk
# file: src/formats/wandb_file.cpp
# tests: unit_formats
s/const uLong crc = ::crc32\(::crc32\(0, nullptr, 0\), &first, 1\);/const uLong crc = first == 0 ? 1 : 0;/
