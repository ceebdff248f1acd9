// The files of CLIP's vocabulary: vocab.json with merges.txt, or tokenizer.json.
#pragma once
#include <filesystem>

#include "byte_pairs.h"

namespace pixart::text {

// `path`: a folder with these files, or tokenizer.json. Throws UserError that names the file and what is wrong.
ClipVocabulary read_clip_vocabulary(const std::filesystem::path& path);

}  // namespace pixart::text
