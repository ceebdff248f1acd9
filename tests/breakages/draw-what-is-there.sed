# breaks: an image folder that is to be filled does not count the images that it holds
# file: src/data/images_to_draw.cpp
# tests: unit_data
s/config\.draw - int64_t\(others\.size\(\)\)/config.draw/
