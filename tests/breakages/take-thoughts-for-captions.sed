# breaks: the thoughts of a reasoning model stay in its captions
# file: src/caption/answer_text.cpp
# tests: unit_caption, cli_caption
s/^    remove_thoughts\(\);$/    (void)refuses_reasoning_;/
