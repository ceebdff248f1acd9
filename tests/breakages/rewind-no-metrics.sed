# breaks: a resumed run repeats lines of its metrics
# file: src/run/metrics.cpp
# tests: unit_run
s/ > step\) continue;/ > step + 1000000) continue;/
