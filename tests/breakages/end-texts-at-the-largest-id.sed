# breaks: a text of CLIP ends at its largest id, whatever its config calls the end token
# file: src/models/clip/clip.cpp
# tests: golden_models
s/end_token\(c\.end_token\)/end_token(-1)/
