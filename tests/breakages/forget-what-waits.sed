# breaks: lines of events.jsonl that a full disk did not take are lost
# file: src/run/line_file.cpp
# tests: unit_run cli_storage
s/^  written_ = 0;$/  written_ = kept_.size();/
