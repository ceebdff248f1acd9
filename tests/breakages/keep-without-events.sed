# breaks: a checkpoint is kept although the metrics of its steps are not durable
# file: src/run/checkpoint_folder.cpp
# tests: unit_run cli_storage
s/if \(!content\.refusal\.empty\(\)\)/if (false)/
