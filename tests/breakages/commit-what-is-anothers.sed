# breaks: a process that lost the folder commits its checkpoint
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/^  shares\.before_commit\(\);//
