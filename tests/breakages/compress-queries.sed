# breaks: queries are compressed with the keys
# file: src/nn/layers.cpp
# tests: golden_models unit_models
s/at::scaled_dot_product_attention\(heads\(q, num_heads\), heads\(k, num_heads\)/at::scaled_dot_product_attention(heads(fewer ? fewer(q) : q, num_heads), heads(k, num_heads)/
