# breaks: damage that is found while a checkpoint is loaded ends the run, though the one before it is good
# file: src/train/checkpoint.cpp
# tests: unit_train cli_resume
s/throw DamagedCheckpoint\(error\.what\(\)\);/throw UserError(error.what(), ExitCode::kStorage);/
