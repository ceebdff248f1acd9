# breaks: a tokenizer.json whose Metaspace cuts inside pieces is read as if it did not
# file: src/text/tokenizer_json.cpp
# tests: unit_text
s/if \(words\.cuts_at_marks\) check_marks\(result\.pieces\);/if (false) check_marks(result.pieces);/
