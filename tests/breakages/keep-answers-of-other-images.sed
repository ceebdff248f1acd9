# breaks: the answer to a question about an image is kept when the image has changed
# file: src/score/compbench_ledger.cpp
# tests: unit_score cli_compbench
s/ && found->second.image_sha256 == asked.image_sha256//
