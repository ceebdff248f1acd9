# breaks: NCCL is called under the lock that the watching thread needs
# file: src/distributed/call_watch.cpp
# tests: unit_distributed
s/is_done = start\(\);/const std::scoped_lock lock(mutex_); is_done = start();/
