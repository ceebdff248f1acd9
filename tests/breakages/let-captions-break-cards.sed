# breaks: a caption with a bar or a tag breaks the table or the page of a model card
# file: src/convert/markdown.cpp
# tests: unit_convert
s/for \(const char c : one_line\(text\)\) \{/for (const char c : one_line(text)) { result += c; continue;/
