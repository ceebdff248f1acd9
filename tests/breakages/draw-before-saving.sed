# breaks: images are drawn before the checkpoint of their step is saved
# file: src/train/stage_run.cpp
# tests: cli_resume
s/^    if \(is_save_step\(step\)\) save\(\);/    if (!stop) look(planned_looks(stage_, step));\n&/
