#include "pixart/sample/suite.h"

#include <algorithm>

#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"

namespace pixart::sample {

namespace {

constexpr size_t kLongestPrompt = 10000;  // bytes

size_t digits_of(int64_t largest) { return std::to_string(std::max<int64_t>(0, largest)).size(); }

// 52 bits: the largest number that an image's text may hold is 2^53.
int64_t noise_index(const std::string& id, int64_t number) {
  constexpr size_t kHexDigits = 13;
  const std::string hash = formats::sha256(fmt::format("{}\n{}", id, number));
  return int64_t(std::stoull(hash.substr(0, kHexDigits), nullptr, 16));
}

}  // namespace

int64_t Suite::images_per_file() const { return kind == SuiteKind::kDpg ? count : 1; }

std::string Suite::file_name(int64_t file) const {
  const SuiteItem& own = item(file);
  const int64_t number = file % files_per_item();
  switch (kind) {
    case SuiteKind::kGenEval:
      return fmt::format("{}/samples/{:04}.png", own.stem, number);
    case SuiteKind::kCompBench:
      return fmt::format("{}_{:06}.png", own.stem, own.number * count + number);
    case SuiteKind::kJsonl:
    case SuiteKind::kCoco:
    case SuiteKind::kDpg:
    case SuiteKind::kClasses:
      break;
  }
  if (files_per_item() == 1) return own.stem + ".png";
  return fmt::format("{}_{:0{}}.png", own.stem, number, digits_of(count - 1));
}

NoiseKey Suite::noise_key(int64_t file, int64_t k, uint64_t seed) const {
  const SuiteItem& own = item(file);
  const int64_t number = file % files_per_item() * images_per_file() + k;
  if (own.seed) return {*own.seed + uint64_t(number), 0};
  return {seed, noise_index(own.id, number)};
}

// A text may contain any character, so its length is hashed, too.
std::string Suite::sha256() const {
  formats::Sha256 hash;
  const auto add = [&hash](const std::string& text) {
    hash.add(std::to_string(text.size()) + "\n");
    hash.add(text);
  };
  add(word_of(kind));
  for (const auto& own : items) {
    for (const auto* text : {&own.id, &own.prompt, &own.stem, &own.metadata}) add(*text);
    add(fmt::format("{} {} {}", own.seed ? std::to_string(*own.seed) : "none", own.height, own.width));
  }
  return hash.hex();
}

std::vector<SideFile> side_files(const Suite& suite) {
  std::vector<SideFile> files;
  if (suite.kind != SuiteKind::kGenEval) return files;
  for (const auto& own : suite.items) files.push_back({own.stem + "/metadata.jsonl", own.metadata});
  return files;
}

void set_classes(Suite& suite, const std::vector<std::string>& names) {
  if (suite.kind != SuiteKind::kClasses) return;
  if (names.empty()) throw UserError("--suite classes needs a class model; this one draws from captions.");
  for (size_t i = 0; i < suite.items.size(); ++i) suite.items[i].prompt = names[i % names.size()];
}

std::string prompt_fault(const std::string& prompt) {
  if (prompt.find('\0') != std::string::npos)
    return "has a NUL byte; the file must be text with one prompt per line";
  if (!is_utf8(prompt)) return "is not UTF-8; save the file as UTF-8";
  if (prompt.size() > kLongestPrompt)
    return fmt::format("has {} bytes; a prompt has at most {}", prompt.size(), kLongestPrompt);
  return {};
}

std::string lacks_prompt(const std::vector<std::string>& keys) {
  return fmt::format("has none of the keys {}, only {}", join({kPromptKeys.begin(), kPromptKeys.end()}, ", "),
                     name_some(keys));
}

}  // namespace pixart::sample
