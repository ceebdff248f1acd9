# breaks: an answer that repeats what the files predict takes away their shift and their zero terminal SNR
# file: src/convert/stated_process.cpp
# tests: unit_convert cli_objectives
s/^  if \(chosen\.prediction && \(!stated \|\| \*chosen\.prediction != stated->prediction\)\) \{/  if (chosen.prediction) {/
