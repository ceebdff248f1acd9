# breaks: a DiT pipeline with zero terminal SNR begins at a timestep that still has a signal
# file: src/convert/folders.cpp
# tests: cli_objectives
s/^  if \(process\.zero_terminal_snr\) scheduler\["timestep_spacing"\] = "trailing";//
