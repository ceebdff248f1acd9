# breaks: the process aborts when one of several threads cannot be started
# file: include/pixart/base/prefetch.h
# tests: unit_base
s/^      end\(\);$/      threads_.emplace_back();/
