# breaks: the teacher of a distilled model draws without guidance
# file: src/diffusion/consistency.cpp
# tests: golden_diffusion, unit_diffusion
s/guidance\.view\(\{-1, 1, 1, 1\}\) \*/guidance.view({-1, 1, 1, 1}).pow(0) */
