# breaks: validation and images that a kill cut short are never made up for
# file: src/train/stage_run.cpp
# tests: cli_resume
s/^  look\(missing_\);//
