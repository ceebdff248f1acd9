# breaks: a caption with a bar or a tag breaks the table or the page of a model card
# file: src/convert/markdown.cpp
# tests: unit_convert
s/^    const char c = line\[i\];/&\n    if (true) { result += c; continue; }/
