# breaks: a file whose owner says that it has not changed is not read again
# file: src/train/file_fingerprint.cpp
# tests: unit_train
s/^  const timespec\& changed = status\.st_ctim;/  const timespec\& changed = status.st_mtim;/
