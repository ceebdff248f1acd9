# breaks: latents of an image that has changed are taken over
# file: src/features/former_latents.cpp
# tests: cli_extract_update
s/ \|\| !is_same_image\(dataset, row, checksum\)//
