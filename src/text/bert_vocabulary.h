// The files of BERT's vocabulary: vocab.txt with a token on each line, or tokenizer.json.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>

namespace pixart::text {

// `path`: a folder with one of these files, or the file. Throws UserError that names the file and what is wrong.
std::unordered_map<std::string, int64_t> read_bert_vocabulary(const std::filesystem::path& path);

}  // namespace pixart::text
