# breaks: old checkpoints are deleted before the new one is durable
# file: src/run/checkpoint_writer.cpp
# tests: cli_checkpoint_crash
/^void CheckpointWriter::write\(\)/,/^\}/ s/^  write_checkpoint\(/  prune_checkpoints(stage_folder_, {.keep_last = keeping_.keep_last - 1}, good_);\n&/
