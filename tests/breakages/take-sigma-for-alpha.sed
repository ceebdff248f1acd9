# breaks: the pipeline around a diffusers folder does not tell PixArt-Sigma from PixArt-alpha
# file: src/convert/pipeline_folder.cpp
# tests: unit_convert
s/if \(name\.starts_with\(kSigma\)\) return true;/if (name.starts_with(kSigma)) return false;/
