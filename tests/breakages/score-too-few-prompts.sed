# breaks: precision and recall of too few prompts end a run at its first metrics
# file: src/train/metric_prompts.cpp
# tests: cli_metrics
s/^  const int64_t least = stage\.metrics\.least_images\(\);/  const int64_t least = 2;/
