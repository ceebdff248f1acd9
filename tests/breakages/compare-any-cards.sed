# breaks: a report does not say that scores are of different protocols
# file: src/report/score_cards.cpp
# tests: unit_report
s/if \(differs && counts\(name\)/if (!differs \&\& counts(name)/
