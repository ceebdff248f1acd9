# breaks: a proof of the run token that was overheard is good for another connection
# file: src/distributed/gate.cpp
# tests: unit_distributed
s/pending\.nonce = random_bytes\(kNonceBytes\)/pending.nonce = std::string(kNonceBytes, 'n')/
