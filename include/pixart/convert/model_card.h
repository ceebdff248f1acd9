// The model card of an exported folder: README.md as the Hugging Face Hub shows it, with sample images next to it.
// It says what the files' metadata and the run say, and "not known" for the rest.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pixart::convert {

using CardPairs = std::vector<std::pair<std::string, std::string>>;  // name, text

struct CardStage {
  std::string name = {};
  CardPairs settings = {};
};

struct CardSource {
  std::string name = {};
  std::optional<int64_t> rows = {};  // listed; unset: not known
  int64_t rejected = 0;
  std::string why = {};  // "5 missing_caption"
};

struct CardScore {
  std::string name = {};  // where the card was: "text, step 2,000"
  std::vector<std::pair<std::string, double>> values = {};
  CardPairs protocol = {};
};

struct CardSample {
  std::filesystem::path file = {};  // .png, .jpg, .jpeg or .webp
  std::string text = {};            // its prompts
};

inline constexpr size_t kMostCardSamples = 8;
inline constexpr uint64_t kLargestCardSample = uint64_t{64} << 20;  // bytes of an image

// What the caller knows about the weights; parts that are empty are not known. Texts are plain: the card escapes
// them.
struct CardFacts {
  std::string run_name = {};
  std::vector<CardStage> stages = {};
  std::vector<CardSource> sources = {};
  std::vector<CardScore> scores = {};
  std::vector<CardSample> samples = {};  // at most kMostCardSamples
  std::string base_model = {};           // "owner/name" on the Hub
};

enum class CardSubject { kPipeline, kTransformer, kAutoencoder, kAdapters };

// As in the metadata of weight files; see provenance.h.
using CardMetadata = std::map<std::string, std::string>;

struct CardModel {
  CardSubject subject = CardSubject::kTransformer;
  std::string summary = {};                                      // "PixArt-alpha, depth 28, ..."
  std::string python_class = {};                                 // of diffusers
  std::string dtype = "float32";                                 // of torch, in which it is loaded
  bool draws_captions = false;                                   // text to image
  CardMetadata metadata = {};                                    // of the written weights
  CardMetadata of_source = {};                                   // of the file that they were made from
  std::vector<std::pair<std::string, CardMetadata>> parts = {};  // the other parts of a pipeline
};

// The text of the card; `samples` are the paths of the images in the folder, in the order of the facts.
std::string model_card(const CardModel& model, const CardFacts& facts,
                       const std::vector<std::string>& samples = {});

// Copies the sample images to samples/ and writes README.md, in a folder that holds neither. Throws UserError for more
// than kMostCardSamples images, for another kind of file, and for one that cannot be read.
void write_model_card(const std::filesystem::path& folder, const CardModel& model, const CardFacts& facts);

// Throws UserError unless the file is an image that a card can show, by its name and by its content.
void check_card_sample(const std::filesystem::path& file);

// Whether a README.md is a card as this program wrote it, without a change. A card ends with its own hash.
bool is_own_card(const std::string& text);

// Whether a file is a copied sample image: its name holds its hash.
bool is_own_sample(const std::filesystem::path& file);

// Throws UserError unless `name` may be one of the Hub: "owner/name".
void check_hub_name(const std::string& name);

}  // namespace pixart::convert
