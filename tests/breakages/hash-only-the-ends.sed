# breaks: the fingerprint of an encoder is that of its files' ends
# file: src/features/file_fingerprint.cpp
# tests: unit_features cli_extract
s/^  return "sha256:" \+ formats::sha256\(all\);/  return "sha256:" + former_folder_fingerprint(folder);/
