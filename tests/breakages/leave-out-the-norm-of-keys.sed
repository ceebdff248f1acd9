# breaks: compressed keys and values are not normalised
# file: src/models/pixart/compressed_keys.cpp
# tests: golden_models unit_models
s/  return norm\((.*)\)\.to\(tokens\.scalar_type\(\)\);/  return (\1).to(tokens.scalar_type());/
