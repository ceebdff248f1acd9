# breaks: adapters are merged into weights that predict something else
# file: src/convert/lora.cpp
# tests: unit_convert cli_lora
s/^  if \(!stated \|\| !trained \|\| stated->prediction == trained->prediction\) return;/  if (!adapters.layers.empty()) return;/
