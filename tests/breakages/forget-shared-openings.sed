# breaks: an opening that many captions share is forgotten when there are many others
# file: src/data/openings.cpp
# tests: unit_data
s/entry\.captions -= 1;/entry.captions = 0;/
