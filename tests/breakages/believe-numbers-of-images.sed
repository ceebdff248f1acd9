# breaks: numbers in the text of a PNG have no limits
# file: tools/sample_recipe.cpp
# tests: cli_errors
s/^    if \(!\(number >= least \&\& number <= most\)\)/    if (false \&\& !(number >= least))/
