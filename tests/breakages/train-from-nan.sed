# breaks: a stage starts from weights with NaN, and the run is blamed later
# file: src/train/initial_weights.cpp
# tests: cli_commands
s/^  if \(found\.empty\(\)\) return;/  if (found.size() < 1000) return;/
