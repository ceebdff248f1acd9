# breaks: metrics that a kill cut short are never made up for
# file: src/train/stage_looks.cpp
# tests: unit_train, cli_metrics
s/looks\.metrics = looks\.metrics && lines\.last_metrics != step;/looks.metrics = false;/
