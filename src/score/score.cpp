#include "pixart/score/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "attempt.h"
#include "card.h"
#include "card_parts.h"
#include "clip_scores.h"
#include "efficientnet_scores.h"
#include "image_reward.h"
#include "images.h"
#include "inception.h"
#include "metrics.h"
#include "moments.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/progress.h"
#include "pixart/base/random.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/formats/hash.h"
#include "pixart/nn/device.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

// Above it the distance over all pairs takes longer than the one over subsets.
constexpr int64_t kMostForAllPairs = 10000;

// The images, or the reference.
struct Input {
  fs::path path = {};
  std::optional<StatisticsFile> file = {};  // an .npz file
  std::optional<ImageList> images = {};
  int64_t available = 0;  // images before --num-images
  bool is_reference = false;

  std::string name() const { return (is_reference ? "the reference " : "") + path.string(); }  // in messages
  int64_t count() const {
    if (images) return images->size;
    if (file && file->rows.defined()) return file->rows.size(0);
    return file && file->features ? file->features->count : 0;
  }
  bool has_rows() const { return images || (file && file->rows.defined()); }
  bool has_features() const { return has_rows() || (file && file->features); }
  bool has_spatial() const { return images || (file && file->spatial); }
};

// What is taken from the features of one input.
struct Wanted {
  bool features = false, spatial = false, rows = false, classes = false;
  bool any() const { return features || spatial || rows || classes; }
};

struct Side {
  std::optional<Statistics> features = {}, spatial = {};
  at::Tensor rows = {};  // [N, 2048] float32
  std::optional<MeanAndDeviation> inception_score = {};
  int64_t count = 0;        // 0: not known
  std::string sha256 = {};  // of the set of images, or of the file of statistics
  bool is_statistics = false;
};

bool is_npz(const fs::path& path) { return ascii_lower(path.extension().string()) == ".npz"; }

Input open_input(const fs::path& path, int64_t num_images, bool is_reference) {
  Input input{.path = path, .is_reference = is_reference};
  if (is_npz(path)) {
    input.file = read_statistics(path);
    if (input.file->images.defined()) input.images = images_of(input.file->images, path.string());
  } else {
    input.images = open_images(path);
  }
  input.available = input.count();
  if (!input.has_rows() || num_images == 0) return input;
  if (input.images) input.images = first_images(std::move(*input.images), num_images);
  if (!input.file) return input;
  input.file->features = input.file->spatial = std::nullopt;  // they are of all images
  if (input.file->rows.defined()) input.file->rows = input.file->rows.slice(0, 0, num_images);
  return input;
}

// The input, or nothing and its problem.
std::optional<Input> try_to_open(const fs::path& path, int64_t num_images, bool is_reference,
                                 Problems& problems) {
  std::optional<Input> input;
  attempt(problems, [&] { input = open_input(path, num_images, is_reference); });
  return input;
}

std::string number_of_images(int64_t count) {
  return count == 1 ? "1 image" : fmt::format("{} images", count);
}

// What a metric needs of an input that this input does not have.
void check_input(const Input& input, const ScoreRequest& request, Problems& problems) {
  const auto need = [&](Metric metric, bool is_there, const char* what) {
    if (wants(request, metric) && !is_there)
      problems.add(fmt::format("{} has no {}, which {} needs: give the images themselves", input.name(), what,
                               word_of(metric)));
  };
  need(Metric::kFid, input.has_features(), "mu and sigma");
  need(Metric::kSfid, input.has_spatial(), "mu_s and sigma_s");
  need(Metric::kKid, input.has_rows(), "features of each image");
  need(Metric::kPrecisionRecall, input.has_rows(), "features of each image");
  for (const Metric metric : {Metric::kCmmd, Metric::kFdEfficientnetLite0, Metric::kKdEfficientnetLite0})
    need(metric, input.images.has_value(), "images");
  if (!input.has_rows()) return;
  const auto at_least = [&](Metric metric, int64_t count) {
    if (wants(request, metric) && input.count() < count)
      problems.add(fmt::format("{} has {}; {} needs at least {}", input.name(),
                               number_of_images(input.count()), word_of(metric), count));
  };
  at_least(Metric::kFid, 2);
  at_least(Metric::kSfid, 2);
  at_least(Metric::kKid, 2);
  at_least(Metric::kFdEfficientnetLite0, 2);
  at_least(Metric::kKdEfficientnetLite0, 2);
  at_least(Metric::kPrecisionRecall, request.neighbours + 1);
}

// Metrics of the images alone, which need the images themselves.
bool is_of_images(Metric metric) {
  return metric == Metric::kInceptionScore || metric == Metric::kImageReward ||
         (uses_clip(metric) && metric != Metric::kCmmd);
}

bool needs_reference(const ScoreRequest& request) {
  return !std::all_of(request.metrics.begin(), request.metrics.end(), is_of_images);
}

void check_words(const ScoreRequest& request, Problems& problems) {
  if (request.metrics.empty() && request.save_statistics.empty())
    problems.add("nothing to do: name metrics, or a file for the statistics of the images");
  if (needs_reference(request) && request.reference.empty())
    problems.add(
        "a reference is missing (--reference): a folder of images, shards, or an .npz file with statistics");
  if (!request.save_statistics.empty() && !is_npz(request.save_statistics))
    problems.add(fmt::format("{}: statistics are stored in .npz files", request.save_statistics.string()));
  else if (is_file_of_others(request.save_statistics))
    problems.add(fmt::format("{} is there and has no statistics of pixart score: give another file",
                             request.save_statistics.string()));
}

void check_images(const Input& images, const ScoreRequest& request, Problems& problems) {
  check_input(images, request, problems);
  for (const Metric metric : request.metrics)
    if (is_of_images(metric) && !images.images)
      problems.add(fmt::format("{} has no images, which {} needs", images.path.string(), word_of(metric)));
  if (wants(request, Metric::kInceptionScore) && images.images && images.count() < request.splits)
    problems.add(fmt::format("{} has {}, fewer than the {} parts of the inception score", images.name(),
                             number_of_images(images.count()), request.splits));
  if (request.num_images > 0 && !images.has_rows())
    problems.add(
        fmt::format("the statistics in {} are of all its images, so --num-images cannot choose some of them: "
                    "leave it out",
                    images.name()));
  if (!request.save_statistics.empty() && (!images.images || images.count() < 2))
    problems.add(fmt::format("{}: statistics are computed of two images or more", images.path.string()));
}

Wanted wanted_of(const Input& input, const ScoreRequest& request, bool is_reference) {
  const bool is_saved = !is_reference && !request.save_statistics.empty();
  Wanted wanted;
  wanted.features = (wants(request, Metric::kFid) && !(input.file && input.file->features)) || is_saved;
  wanted.spatial = (wants(request, Metric::kSfid) && !(input.file && input.file->spatial)) || is_saved;
  wanted.rows = (wants(request, Metric::kKid) || wants(request, Metric::kPrecisionRecall)) &&
                !(input.file && input.file->rows.defined());
  wanted.classes = !is_reference && wants(request, Metric::kInceptionScore);
  return wanted;
}

// The side as the file has it.
Side stored(const Input& input) {
  Side side{.count = input.count()};
  if (!input.file) return side;
  side.features = input.file->features;
  side.spatial = input.file->spatial;
  side.rows = input.file->rows;
  if (side.rows.defined() && !side.features && side.rows.size(0) >= 2) {
    Moments moments;
    moments.add(side.rows);
    side.features = moments.statistics();
  }
  const std::string images = stored_text(*input.file, kImagesHash);
  side.is_statistics = images.empty();
  side.sha256 = images.empty() ? formats::sha256_of_file(input.path) : images;
  return side;
}

// Runs the network on the images of an input, as far as something is wanted that its file does not have.
Side computed(const Input& input, const Wanted& wanted, const ScoreRequest& request,
              const Inception& network) {
  Side side = stored(input);
  if (!wanted.any() || !input.images) return side;
  Moments features, spatial;
  std::vector<at::Tensor> rows;
  std::optional<InceptionScore> classes;
  if (wanted.classes)
    classes.emplace(permutation({.seed = request.seed, .stream = ~uint64_t{0}, .purpose = Purpose::kSubset},
                                input.images->size),
                    request.splits);
  const std::string hash =
      for_each_batch(*input.images, request.resize, request.batch_size, [&](const at::Tensor& batch) {
        const auto outputs = network(batch);
        if (!outputs.logits.isfinite().all().item<bool>())
          throw UserError("the network's results are not finite: its weights are damaged, or others.",
                          ExitCode::kNumerics);
        if (wanted.features) features.add(outputs.features);
        if (wanted.spatial) spatial.add(outputs.spatial);
        if (wanted.rows) rows.push_back(outputs.features.cpu());
        if (classes) classes->add(outputs.logits);
      });
  if (wanted.features) side.features = features.statistics();
  if (wanted.spatial) side.spatial = spatial.statistics();
  if (wanted.rows) side.rows = at::cat(rows);
  if (classes) side.inception_score = classes->score();
  side.sha256 = input.file ? side.sha256 : hash;
  return side;
}

// Statistics of this program say how they were computed.
void check_protocol(const Input& input, const ScoreRequest& request, const std::string& weights_sha256,
                    Problems& problems) {
  if (!input.file || input.file->protocol.empty()) return;
  const std::string rule = stored_text(*input.file, kResize),
                    weights = stored_text(*input.file, kWeightsHash);
  if (rule != word_of(request.resize))
    problems.add(fmt::format("{} was computed with the resize rule {}, and this score has {} (--resize)",
                             input.path.string(), rule, word_of(request.resize)));
  if (!weights_sha256.empty() && weights != weights_sha256)
    problems.add(fmt::format("{} was computed with other weights (SHA-256 of the tensors {}, here {})",
                             input.path.string(), weights.substr(0, 12), weights_sha256.substr(0, 12)));
}

void save(const Side& images, const ScoreRequest& request, const std::string& weights_sha256) {
  const ordered_json protocol = {{kResize, word_of(request.resize)},
                                 {kWeightsHash, weights_sha256},
                                 {kImagesHash, images.sha256},
                                 {"software", producer()}};
  if (request.save_statistics.has_parent_path()) create_folders(request.save_statistics.parent_path());
  save_statistics(request.save_statistics,
                  {.features = images.features, .spatial = images.spatial, .protocol = protocol.dump()});
  log::info("wrote {}", request.save_statistics.string());
}

void add_kid(const Side& images, const Side& reference, const ScoreRequest& request, ScoreResult& result) {
  Progress progress("KID", request.kid_subsets, "subset");
  const auto kid = kernel_distance(
      images.rows, reference.rows,
      {.subsets = request.kid_subsets, .subset_size = request.kid_subset_size, .seed = request.seed},
      [&](int64_t done) { progress.update(done); });
  result.values.emplace_back("kid", kid.mean);
  result.values.emplace_back("kid_deviation", kid.deviation);
  if (std::max(images.rows.size(0), reference.rows.size(0)) <= kMostForAllPairs)
    result.values.emplace_back("kid_all_pairs", kernel_distance_of_all(images.rows, reference.rows));
}

void add_values(const Side& images, const Side& reference, const ScoreRequest& request, ScoreResult& result) {
  const auto add = [&](const char* name, double value) { result.values.emplace_back(name, value); };
  if (wants(request, Metric::kFid)) add("fid", frechet_distance(*images.features, *reference.features));
  if (wants(request, Metric::kSfid)) add("sfid", frechet_distance(*images.spatial, *reference.spatial));
  if (images.inception_score) {
    add("inception_score", images.inception_score->mean);
    add("inception_score_deviation", images.inception_score->deviation);
  }
  if (wants(request, Metric::kPrecisionRecall)) {
    log::info("compute the distances between {} and {} images", images.rows.size(0), reference.rows.size(0));
    const auto both = precision_recall(images.rows, reference.rows, request.neighbours);
    add("precision", both.precision);
    add("recall", both.recall);
  }
  if (wants(request, Metric::kKid)) add_kid(images, reference, request, result);
}

// FID of few images says little: KID is added where it can be computed.
void add_kid_for_few(const Input& images, const Input& reference, ScoreRequest& request,
                     ScoreResult& result) {
  int64_t fewest = std::numeric_limits<int64_t>::max();
  for (const auto* input : {&images, &reference})
    if (input->count() > 0) fewest = std::min(fewest, input->count());
  if (!wants(request, Metric::kFid) || fewest >= kFewImages) return;
  result.notes.push_back(fmt::format(
      "FID is biased: it grows when images are fewer, and {} are few. Compare it only with FIDs of "
      "as many images. KID has no such bias.",
      fewest));
  const auto has_rows = [&](const Input& input) {  // stored, or the network can make them
    return (input.file && input.file->rows.defined()) || (input.images && !request.weights.empty());
  };
  const bool can = has_rows(images) && has_rows(reference) && images.count() > 1 && reference.count() > 1;
  if (can && !wants(request, Metric::kKid)) request.metrics.push_back(Metric::kKid);
}

void note_unknown_rule(const Input& reference, const ScoreRequest& request, ScoreResult& result) {
  const bool is_stored = reference.file && (reference.file->features || reference.file->spatial);
  if (!is_stored || !reference.file->protocol.empty()) return;
  result.notes.push_back(
      fmt::format("{} does not say how its images were resized. Statistics of clean-fid go with clean, of "
                  "pytorch-fid with pytorch, of ADM with tensorflow; this score has {}.",
                  reference.path.string(), word_of(request.resize)));
}

// What is scored, where that is not what the request or the folder says.
void note_images(const Input& images, const ScoreRequest& request, ScoreResult& result) {
  if (request.num_images > images.available && images.has_rows())
    result.notes.push_back(fmt::format("--num-images is {}, but {} has only {}: all of them are scored.",
                                       request.num_images, images.path.string(),
                                       number_of_images(images.available)));
  if (images.images && !images.images->note.empty()) result.notes.push_back(images.images->note);
}

ordered_json settings_of(const ScoreRequest& request) {
  ordered_json settings = ordered_json::object();
  if (wants(request, Metric::kKid))
    settings["kid"] = {
        {"subsets", request.kid_subsets}, {"subset_size", request.kid_subset_size}, {"seed", request.seed}};
  if (wants(request, Metric::kPrecisionRecall))
    settings["precision_recall"] = {{"neighbours", request.neighbours}};
  if (wants(request, Metric::kInceptionScore))
    settings["inception_score"] = {{"splits", request.splits}, {"seed", request.seed}};
  return settings;
}

struct Network {
  std::optional<OpenedInception> inception = {};  // none where all statistics are stored
  c10::Device device = at::kCPU;
};

ordered_json protocol_of(const Input& images, const Side& own, const std::optional<Side>& reference,
                         const Network& network, const ScoreRequest& request) {
  ordered_json protocol = protocol_of_images(own.count);
  const bool has_inception = std::any_of(request.metrics.begin(), request.metrics.end(), [](Metric metric) {
    return !uses_clip(metric) && !uses_efficientnet(metric) && metric != Metric::kImageReward;
  });
  if (has_inception || request.metrics.empty())
    protocol.update(
        protocol_of_inception(network.inception ? network.inception->tensors_sha256 : "", request.resize));
  if (reference)
    protocol["reference"] =
        protocol_of_reference(reference->is_statistics, reference->sha256, reference->count);
  if (images.images && !images.images->sampling.empty())
    protocol["sampling"] = formats::parse_ordered(images.images->sampling);
  protocol["settings"] = settings_of(request);
  return protocol;
}

struct Inputs {
  Input images;
  std::optional<Input> reference;
  ClipInputs clip;
  ImageRewardInputs image_reward;
  std::optional<OpenedEfficientnet> efficientnet;
  Network network;
};

// The device, and the network of the weights if there are any.
Network open_network(const ScoreRequest& request, Problems& problems) {
  Network network;
  nn::set_num_threads(0);
  nn::keep_freed_memory();
  at::globalContext().setAllowTF32CuDNN(false);  // convolutions in float32
  attempt(problems, [&] { network.device = nn::select_device(request.device); });
  attempt(problems, [&] {
    if (!request.weights.empty()) network.inception.emplace(open_inception(request.weights, network.device));
  });
  if (network.inception && !network.inception->is_published)
    log::warning(
        "{} is not the published file (SHA-256 {}): scores compare only with those of the same weights",
        request.weights.string(), network.inception->file_sha256.substr(0, 12));
  return network;
}

// Opens all inputs, or throws one UserError with all problems.
Inputs open_inputs(const ScoreRequest& request) {
  Problems problems;
  check_words(request, problems);
  auto images = try_to_open(request.images, request.num_images, /*is_reference=*/false, problems);
  std::optional<Input> reference;
  const bool has_told = !images && request.reference == request.images;  // what is wrong with both
  if (!request.reference.empty() && needs_reference(request) && !has_told)
    reference = try_to_open(request.reference, 0, /*is_reference=*/true, problems);
  if (images) check_images(*images, request, problems);
  if (reference) check_input(*reference, request, problems);
  auto clip = open_clip(images ? images->images : std::nullopt, request, problems);
  auto image_reward =
      open_image_reward(images ? images->images : std::nullopt, request, clip.prompts, problems);
  for (const auto* input : {&images, &reference})
    if (*input) check_protocol(**input, request, "", problems);
  const auto needs_network = [&](const std::optional<Input>& input, bool is_reference) {
    return input && input->images && wanted_of(*input, request, is_reference).any();
  };
  const bool has_work = needs_network(images, false) || needs_network(reference, true);
  if (has_work && request.weights.empty())
    problems.add("weights are missing (--weights): pt_inception-2015-12-05-6726825d.pth");
  auto network = open_network(request, problems);
  auto efficientnet = open_efficientnet(request, network.device, problems);
  problems.throw_if_any("this score cannot be computed");
  if (!request.save_statistics.empty()) require_writable(request.save_statistics);
  return {.images = std::move(*images),
          .reference = std::move(reference),
          .clip = std::move(clip),
          .image_reward = std::move(image_reward),
          .efficientnet = std::move(efficientnet),
          .network = std::move(network)};
}

// Adds the scores that `compute` gives of images and reference; returns what they depend on.
template <class Compute>
ordered_json add_scores(const Compute& compute, const Inputs& inputs, Side& own, std::optional<Side>& other,
                        ScoreResult& result) {
  if (!inputs.images.images) return {};
  auto scores = compute(*inputs.images.images, inputs.reference ? inputs.reference->images : std::nullopt);
  result.values.insert(result.values.end(), scores.values.begin(), scores.values.end());
  result.notes.insert(result.notes.end(), scores.notes.begin(), scores.notes.end());
  if (own.sha256.empty()) own.sha256 = scores.images_sha256;
  if (other && other->sha256.empty()) other->sha256 = scores.reference_sha256;
  return scores.protocol;
}

}  // namespace

ScoreResult score(const ScoreRequest& given) {
  ScoreRequest request = given;
  ScoreResult result;
  const Inputs inputs = open_inputs(request);
  const Input& images = inputs.images;
  const Network& network = inputs.network;
  const auto& reference = inputs.reference;
  note_images(images, request, result);
  if (reference) {
    add_kid_for_few(images, *reference, request, result);
    note_unknown_rule(*reference, request, result);
  }
  const nn::FullFloat32 full_float32;
  const std::string weights = network.inception ? network.inception->tensors_sha256 : "";
  Problems problems;
  check_protocol(images, request, weights, problems);
  if (reference) check_protocol(*reference, request, weights, problems);
  problems.throw_if_any("the statistics were computed in another way");
  const auto side_of = [&](const Input& input, bool is_reference) {
    const Wanted wanted = wanted_of(input, request, is_reference);
    return network.inception && input.images ? computed(input, wanted, request, network.inception->network)
                                             : stored(input);
  };
  Side own = side_of(images, false);
  std::optional<Side> other;
  if (reference) other = side_of(*reference, true);
  if (!request.save_statistics.empty()) save(own, request, weights);
  add_values(own, other.value_or(Side{}), request, result);
  const auto clip_values = [&](const ImageList& list, const std::optional<ImageList>& real) {
    return clip_scores(list, real, inputs.clip, request, network.device);
  };
  const auto efficientnet_values = [&](const ImageList& list, const std::optional<ImageList>& real) {
    return efficientnet_scores(list, real, inputs.efficientnet, request);
  };
  const auto reward_values = [&](const ImageList& list, const std::optional<ImageList>&) {
    return image_reward_scores(list, inputs.image_reward, request, network.device);
  };
  const ordered_json clip = add_scores(clip_values, inputs, own, other, result),
                     reward = add_scores(reward_values, inputs, own, other, result),
                     efficientnet = add_scores(efficientnet_values, inputs, own, other, result);
  ordered_json protocol = protocol_of(images, own, other, network, request);
  if (!clip.is_null()) protocol["clip"] = clip;
  if (!reward.is_null()) protocol["image_reward"] = reward;
  if (!efficientnet.is_null()) protocol["efficientnet_lite0"] = efficientnet;
  result.card = card_text({.values = result.values,
                           .notes = result.notes,
                           .protocol = std::move(protocol),
                           .images_name = name_of(images.path),
                           .images_sha256 = own.sha256,
                           .reference = request.reference,
                           .weights = request.weights,
                           .inception = network.inception ? &*network.inception : nullptr,
                           .device = network.device});
  return result;
}

}  // namespace pixart::score
