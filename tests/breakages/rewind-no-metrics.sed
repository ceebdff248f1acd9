# breaks: a resumed run repeats lines of its metrics
# file: src/train/metrics.cpp
# tests: unit_train
s/ > step\) continue;/ > step + 1000000) continue;/
