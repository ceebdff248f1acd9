# breaks: a run replaces the run.yaml that the user wrote
# file: src/run/run_folder.cpp
# tests: unit_run cli_commands
s/^  if \(fs::exists\(folder\.events\(\)\)\) return;/  if (fs::exists(folder.config())) return;/
