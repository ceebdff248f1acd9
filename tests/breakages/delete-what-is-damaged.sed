# breaks: a damaged checkpoint is deleted with the old ones
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
/^void remove_old/,/^\}/ s/if \(found\.is_good\(\)\)/if (found.verdict != Verdict::kUnreadable)/
