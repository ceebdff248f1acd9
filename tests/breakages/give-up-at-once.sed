# breaks: a read that fails once is not tried again
# file: src/base/machine_fault.cpp
# tests: unit_base unit_data cli_bad_samples
s/kTries = 5/kTries = 1/
