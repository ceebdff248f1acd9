# breaks: CLIP's folder is opened only after FID's work
# file: src/score/clip_scores.cpp
# tests: cli_score
s/inputs.config = models::check_clip_folder\(request.clip\);/inputs.config = std::nullopt;/
