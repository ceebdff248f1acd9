# breaks: whole tiles are kept in memory where only their last lines are needed
# file: src/models/vae/vae_tiles.cpp
# tests: property_memory
s/(return tile\.narrow\(dim, tile\.size\(dim\) - count, count\))\.clone\(\);/\1;/
