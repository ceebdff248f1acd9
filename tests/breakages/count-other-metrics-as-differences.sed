# breaks: cards do not compare if one of them has one metric more
# file: src/score/card.cpp
# tests: unit_score
s/if \(other.contains\(name\) && other\[name\].contains\(key\)\) shared/shared/
