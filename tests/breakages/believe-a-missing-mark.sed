# breaks: a tokenizer.json that marks no word, or only the first of all, is taken for T5's
# file: src/text/tokenizer_json.cpp
# tests: unit_text
s/!rule\.splits_at_white_space && scheme\.is_string/scheme.is_string/
