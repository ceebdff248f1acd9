# breaks: tokens skip blocks in all steps, also after the end of routing
# file: include/pixart/run/skipped_tokens.h
# tests: unit_train property_training
s/ && \(!until \|\| step < \*until\)//
