# breaks: half of a block's compressed keys may be missing from the weights that a stage starts from
# file: src/convert/initial_weights.cpp
# tests: unit_convert
s/    if \(std::none_of\(names\.begin\(\)/    if (!std::all_of(names.begin()/
