# breaks: whoever speaks as a rank does is let in, whatever token it has
# file: src/distributed/gate.cpp
# tests: unit_distributed
s/if \(!equal_secrets\(pending\.heard/if (pending.heard.empty() \&\& !equal_secrets(pending.heard/
