# breaks: an abort of NCCL that never returns is waited for
# file: src/dist/call_watch.cpp
# tests: unit_dist
s/std::chrono::duration<double>\(seconds\)/std::chrono::hours(9)/
