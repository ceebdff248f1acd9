# breaks: files of a checkpoint that its manifest does not name are loaded
# file: src/train/checkpoint.cpp
# tests: unit_train
/^std::vector<fs::path> optimizer_files/,/^\}/ s/for \(const auto& \[name, record\] : manifest\.files\)/for (const auto\& entry : ((void)manifest, fs::directory_iterator(folder)))\n    if (const std::string name = entry.path().filename(); true)/
