# breaks: a card of scores that is nested 250,000 deep ends a report by a crash
# file: src/report/score_cards.cpp
# tests: unit_report
s/is_deep \|\| depth > kDeepest/is_deep || depth < 0/
