# breaks: a sample is rejected when the disk or the machine fails
# file: src/base/machine_fault.cpp
# tests: unit_base unit_data cli_bad_samples
s/if \(is_machine_fault\(error_number\)\) throw/if (false \&\& is_machine_fault(error_number)) throw/
