// Suites: the prompts that published evaluations draw, and the file names that their programs read.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/sample/noise_key.h"

namespace pixart::sample {

enum class SuiteKind {
  kJsonl,      // one object per line: prompt, and if wanted id, seed, size
  kCoco,       // one caption per line; rows with caption and image_id (.csv, .tsv, .jsonl); COCO's .json
  kGenEval,    // GenEval's evaluation_metadata.jsonl
  kDpg,        // DPG-Bench: a folder with one text file per prompt
  kCompBench,  // T2I-CompBench: a folder of *_val.txt, or one such file
  kClasses,    // a number of images, spread evenly over the classes of a class model
};
inline EnumWords<SuiteKind> enum_words(SuiteKind) {
  return {{"jsonl", SuiteKind::kJsonl},         {"coco", SuiteKind::kCoco},
          {"geneval", SuiteKind::kGenEval},     {"dpg", SuiteKind::kDpg},
          {"compbench", SuiteKind::kCompBench}, {"classes", SuiteKind::kClasses}};
}

struct SuiteItem {
  std::string id = {};                // unique in the suite; the noise belongs to it
  std::string prompt = {};            // a caption, or the name of a class
  std::string stem = {};              // path of its files below the folder, without number and ending
  std::string metadata = {};          // GenEval: of metadata.jsonl
  std::optional<uint64_t> seed = {};  // of its first image; the next one has the next seed
  int height = 0, width = 0;          // pixels; 0: as for the others
  int64_t number = 0;                 // in its part of the suite (T2I-CompBench: the category)
  std::string place = {};             // for messages: "line 3", "color_val.txt, line 3"
};

struct Suite {
  SuiteKind kind = SuiteKind::kJsonl;
  std::vector<SuiteItem> items = {};
  int64_t count = 1;  // images for each prompt

  // DPG-Bench: a file shows the images of its prompt, side by side in two columns. Others: one.
  int64_t images_per_file() const;
  int64_t files_per_item() const { return count / images_per_file(); }
  int64_t num_files() const { return int64_t(items.size()) * files_per_item(); }
  const SuiteItem& item(int64_t file) const { return items[size_t(file / files_per_item())]; }
  // Path of file i below the folder:
  //   jsonl, coco  <id>.png, or <id>_<number>.png with several images for each prompt
  //   geneval      00003/samples/0000.png
  //   dpg          images/<name of the text file>.png
  //   compbench    <category>/samples/<prompt>_000030.png, numbered through the category
  //   classes      00000.png, with as many digits as the last one needs, at least four
  std::string file_name(int64_t file) const;
  // Of image k of a file. Images without a seed of their own have `seed` and a hash of id and number, so that
  // their noise depends neither on other prompts nor on the number of images for each prompt.
  NoiseKey noise_key(int64_t file, int64_t k, uint64_t seed) const;
  // SHA-256 of everything that the images and their names depend on.
  std::string sha256() const;
};

struct SideFile {
  std::string path, content;
};
// Files that the suite's programs read next to the images: metadata.jsonl of GenEval.
std::vector<SideFile> side_files(const Suite& suite);

struct SuiteRequest {
  std::string named;                  // PATH, KIND:PATH, or classes:NUMBER
  std::optional<int64_t> count = {};  // images for each prompt; unset: as the suite's protocol wants
  std::optional<uint64_t> seed = {};  // what the user chose
};
// Without KIND: a folder is T2I-CompBench if it has *_val.txt, otherwise DPG-Bench; a .jsonl file is GenEval if
// its first line has the keys tag and include; a .txt file is T2I-CompBench if its name ends in _val; another file
// is a list of captions. Throws one UserError that lists every line that cannot be used: without a prompt, with one
// that is too long, with the id of another line, or with a seed or size that cannot be. Items of `classes` have
// no prompt yet.
Suite read_suite(const SuiteRequest& request);

void set_classes(Suite& suite, const std::vector<std::string>& names);  // of kClasses: the prompts

// What is wrong with a prompt; "" if nothing is.
std::string prompt_fault(const std::string& prompt);

// The keys of the prompt in a row; the first one that the row has counts.
inline constexpr std::array<const char*, 3> kPromptKeys = {"prompt", "caption", "text"};
// "has none of the keys prompt, caption, text, only title": of a row with these keys.
std::string lacks_prompt(const std::vector<std::string>& keys);

}  // namespace pixart::sample
