# breaks: weights of a damaged checkpoint are converted
# file: src/formats/saved_weights.cpp
# tests: unit_formats
s/if \(hashes->empty\(\)\) return weights;/if (hashes) return weights;/
