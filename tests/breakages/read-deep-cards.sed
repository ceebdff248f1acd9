# breaks: a card of scores that is nested 250,000 deep ends a report by a crash
# file: src/formats/bounded_json.cpp
# tests: unit_formats unit_report
s/keys\.size\(\) > size_t\(limits\.depth\)/keys.empty()/
