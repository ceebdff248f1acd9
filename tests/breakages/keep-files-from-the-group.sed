# breaks: files are never writable for the group, whatever the umask says
# file: src/base/file.cpp
# tests: unit_base cli_storage
s/O_CLOEXEC, 0666\)/O_CLOEXEC, 0644)/
