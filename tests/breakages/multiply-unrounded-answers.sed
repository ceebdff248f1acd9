# breaks: B-VQA multiplies answers that are not rounded to 4 digits, as the benchmark's are
# file: src/score/compbench_rules.cpp
# tests: unit_score
s/product \*= float\(rounded_to_4\(probability\)\)/product *= float(probability)/
