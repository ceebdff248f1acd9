# breaks: a stop request waits until all pictures are drawn
# file: src/train/generate.cpp
# tests: cli_resume
s/if \(options\.asked_to_stop\(\)\) throw/if (false \&\& options.asked_to_stop()) throw/
