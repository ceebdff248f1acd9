# breaks: a model that takes no temperature is asked with one again
# file: src/caption/exchange.cpp
# tests: unit_caption
s/for \(const Change change : changes_\)/for (const Change change : std::vector<Change>())/
