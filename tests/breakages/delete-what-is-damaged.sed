# breaks: a damaged checkpoint is deleted with the old ones
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
/^void remove_old/,/^\}/ s/if \(found\.is_good\(\)\)/if (found.verdict != Verdict::kUnreadable)/
