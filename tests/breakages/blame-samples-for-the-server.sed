# breaks: a server that fails is taken for damage of the sample
# file: src/data/remote_file.cpp
# tests: unit_data cli_remote
s/throw MachineFault::lasting\(fault\.what\(\), code_of\(fault\)\)/(void)code_of(fault);\n  throw UserError(fault.what())/
