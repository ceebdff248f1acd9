# breaks: a process that lost the folder commits its checkpoint
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
s/^  shares\.before_commit\(\);//
