# breaks: an abort of NCCL that never returns is waited for
# file: src/dist/call_watch.cpp
# tests: unit_dist
s/duration<double>\(seconds\)/duration<double>(9e3 + seconds)/
