# breaks: the good samples of a bad step are left out, too
# file: src/train/blame.cpp
# tests: unit_train cli_campaign
s/return alone\.empty\(\) \? all : alone;/return all;/
