# breaks: an image_folder takes only the first line of each caption file
# file: src/data/image_folder.cpp
# tests: unit_data
s/first_line = lines == CaptionLines::kFirst;/first_line = lines == CaptionLines::kFirst || true;/
