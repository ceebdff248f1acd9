# breaks: lines of other models or sources are continued as if they were one file
# file: src/score/row_scores.cpp
# tests: unit_score
s/^    if \(was == found.end\(\) \|\| \*was != value\)/    if (was == found.end())/
