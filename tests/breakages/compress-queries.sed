# breaks: queries are compressed with the keys
# file: src/nn/layers.cpp
# tests: golden_models unit_models
s/dense_attention\(heads\(q, num_heads\)/dense_attention(heads(fewer ? fewer(q) : q, num_heads)/
