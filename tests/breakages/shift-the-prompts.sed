# breaks: a file with more prompts than images is accepted, and images get the prompts of others
# file: src/score/clip_scores.cpp
# tests: cli_score
s/lines < images.size \|\| \(lines > images.size && request.num_images == 0\)/lines < images.size/
