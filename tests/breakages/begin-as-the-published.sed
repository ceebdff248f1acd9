# breaks: with base_width, the initial values of matrices fall as those of the published initialisation
# file: src/models/initialize.cpp
# tests: unit_models
s/return std::sqrt\(fan_in\(at_base_width\(p\)\) \/ fan_in\(p\.tensor\)\);/return 1;/
