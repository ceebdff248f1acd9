# breaks: a model card shows the paths of what a run scored with
# file: src/train/run_card.cpp
# tests: unit_train
s/^ +"metrics\.",$//
