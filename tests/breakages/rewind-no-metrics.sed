# breaks: a resumed run repeats lines of its metrics
# file: src/run/metrics.cpp
# tests: unit_run
s/get<int64_t>\(\) > step\)/get<int64_t>() > step + 1000000)/
