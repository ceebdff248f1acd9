# breaks: a process that waits for a lock does not answer a request to stop
# file: src/base/file_lock.cpp
# tests: unit_base cli_stop
s/if \(stop_requested\(\)\)/if (false)/
