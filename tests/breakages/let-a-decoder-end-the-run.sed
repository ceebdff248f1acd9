# breaks: what a library throws about one image ends the run
# file: src/data/dataset.cpp
# tests: unit_data unit_features
s/reject\(Reason::kDamagedImage, fmt::format\("its decoder failed: \{\}", error.what\(\)\)\)/throw/
