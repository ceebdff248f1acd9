# breaks: a stranger who says nothing keeps all others waiting
# file: src/distributed/gate.cpp
# tests: unit_distributed
s/if \(entries\[0\]\.revents != 0\) accept_some/if (entries[0].revents != 0 \&\& pending_.empty()) accept_some/
