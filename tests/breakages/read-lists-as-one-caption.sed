# breaks: a list of captions that pandas wrote into CSV is one caption with brackets
# file: src/data/caption_text.cpp
# tests: unit_data
s/const auto items = written_list\(text\);/const auto items = written_list("");/
