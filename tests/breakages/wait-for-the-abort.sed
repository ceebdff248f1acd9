# breaks: an abort of NCCL that never returns is waited for
# file: src/distributed/call_watch.cpp
# tests: unit_distributed
s/duration<double>\(seconds\)/duration<double>(9e3 + seconds)/
