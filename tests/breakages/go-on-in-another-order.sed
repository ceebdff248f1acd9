# breaks: a run that an older program began goes on with another order of samples
# file: src/run/run_folder.cpp
# tests: unit_run cli_resume
s/was\.sample_order = int64_t\(data::OrderVersion::kListed\);/was.sample_order = int64_t(data::kNewestOrder);/
