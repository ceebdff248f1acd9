# breaks: a save that failed is taken for one that succeeded
# file: src/run/checkpoint_writer.cpp
# tests: unit_run cli_checkpoint_crash
/catch \(const UserError& error\)/,/\}/ s/failed\(error\.what\(\)\);/durable_ = host_.step;/
