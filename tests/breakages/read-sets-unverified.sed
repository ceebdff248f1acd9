# breaks: a set of weights in a checkpoint's file is not compared with the manifest
# file: src/formats/weights.cpp
# tests: unit_formats
s/^  if \(saved\) weights = compared/  if (saved \&\& which == "model") weights = compared/
