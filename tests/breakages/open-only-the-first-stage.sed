# breaks: what later stages read is opened when they begin, not before step 1
# file: src/train/inputs.cpp
# tests: cli_inputs
s/^  features::open_inputs\(run, stages, problems\);/  features::open_inputs(run, {stages.begin(), stages.begin() + (stages.empty() ? 0 : 1)}, problems);/
