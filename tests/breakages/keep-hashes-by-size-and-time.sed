# breaks: a file whose owner says that it has not changed is not read again
# file: src/features/file_fingerprint.cpp
# tests: unit_features
s/^  const timespec\& changed = status\.st_ctim;/  const timespec\& changed = status.st_mtim;/
