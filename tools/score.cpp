#include "pixart/score/score.h"

#include <memory>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/home.h"
#include "pixart/base/log.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/score/calibrate.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct ScoreArguments {
  score::ScoreRequest request;
  std::string images, reference, weights, clip, clip_tokenizer, aesthetic_head, prompts, image_reward,
      image_reward_tokenizer, efficientnet_weights, save_statistics, out, calibrate;
  std::vector<std::string> metrics, compare;
  bool json = false, different_protocols = false;
};

std::vector<std::string> lines_of(const std::vector<score::ScoreDifference>& differences) {
  std::vector<std::string> lines;
  for (const auto& [name, first, second] : differences)
    lines.push_back(fmt::format("{}: {} and {}", name, first, second));
  return lines;
}

// The text of a card: of a folder, of score.json in it, which --out writes there.
std::string card_text(const std::string& named) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const fs::path path = with_home(named);
  std::error_code error;
  return read_file(fs::is_directory(path, error) ? path / "score.json" : path, kLargest);
}

void compare(const ScoreArguments& arguments) {
  const std::string &first = arguments.compare[0], &second = arguments.compare[1];
  const auto comparison = score::compare_cards(card_text(first), first, card_text(second), second);
  const auto lines = lines_of(comparison.protocol);
  if (!lines.empty() && !arguments.different_protocols) {
    Problems problems;
    for (const auto& line : lines) problems.add(line);
    problems.throw_if_any(fmt::format(
        "{} and {} have different protocols, so their values do not compare (--different-protocols shows "
        "them all the same)",
        first, second));
  }
  for (const auto& line : lines) print_line("different protocol: {}", line);
  for (const auto& line : lines_of(comparison.machine)) print_line("different machine: {}", line);
  print_line("{:<31} {:>22} {:>22}", "", "first", "second");
  for (const auto& [name, own, other] : comparison.values)
    print_line("{:<31} {:>22} {:>22}", name, own, other);
}

void print(const score::Calibration& result) {
  for (const auto& part : result.cases) {
    for (const auto& missing : part.missing) print_line("{} is skipped: {}", part.name, missing);
    if (!part.problem.empty()) print_line("{} is not computed: {}", part.name, part.problem);
    for (const auto& value : part.values) print_line("{}: {}", part.name, value.text());
  }
}

void calibrate(const ScoreArguments& arguments) {
  const fs::path path = with_home(arguments.calibrate);
  if (!fs::exists(path))
    throw UserError(fmt::format(
        "{} does not exist: give a folder with the files of the published values, or a calibration file.",
        path.string()));
  const auto cases =
      fs::is_directory(path) ? score::published_calibration(path) : score::read_calibration(path);
  const auto result = score::calibrate(cases, arguments.request.device, arguments.request.batch_size);
  if (arguments.json)
    print_json(result.json);
  else
    print(result);
  if (const int64_t failed = result.num_failed(); failed > 0)
    throw UserError(
        fmt::format("{} of the {} cases cannot be computed (see above).", failed, result.cases.size()));
  if (result.num_computed() == 0)
    throw UserError("no value was computed, because each of them needs files that are missing.");
  if (const int64_t different = result.num_different(); different > 0)
    throw UserError(fmt::format("{} of the values {} not equal to what was published.", different,
                                different == 1 ? "is" : "are"),
                    ExitCode::kBelowBar);
}

void print(const score::ScoreResult& result) {
  for (const auto& [name, value] : result.values) print_line("{:<31} {:.6f}", name, value);
  for (const auto& note : result.notes) print_line("{}", note);
}

// The metrics that were named; by default fid where there is a reference.
std::vector<score::Metric> chosen_metrics(const ScoreArguments& arguments) {
  std::vector<score::Metric> metrics;
  for (const auto& word : arguments.metrics) {
    const auto metric = enum_of_word<score::Metric>(word, "metric");
    if (!contains(metrics, metric)) metrics.push_back(metric);
  }
  if (metrics.empty() && !arguments.reference.empty()) metrics.push_back(score::Metric::kFid);
  return metrics;
}

// Options that this way of use does not read.
void refuse_others(const CLI::App& command, const std::vector<std::string>& read) {
  std::vector<std::string> others;
  for (const auto* option : command.get_options([](const CLI::Option* one) { return one->count() > 0; }))
    if (!contains(read, option->get_name())) others.push_back(option->get_name());
  if (!others.empty())
    throw UserError(fmt::format("{} does not use {}: leave {} out.", read.front(), join(others, ", "),
                                others.size() == 1 ? "it" : "them"));
}

void run(ScoreArguments& arguments, const CLI::App& command) {
  if (!arguments.compare.empty()) {
    refuse_others(command, {"--compare", "--different-protocols"});
    return compare(arguments);
  }
  if (!arguments.calibrate.empty()) {
    refuse_others(command, {"--calibrate", "--batch", "--device", "--json"});
    return calibrate(arguments);
  }
  if (arguments.images.empty())
    throw UserError(
        "no images: give a folder of images (or --compare FIRST.json SECOND.json, or --calibrate).");
  auto& request = arguments.request;
  request.metrics = chosen_metrics(arguments);
  request.images = with_home(arguments.images);
  request.reference = with_home(arguments.reference);
  request.weights = with_home(arguments.weights);
  request.clip = with_home(arguments.clip);
  request.clip_tokenizer = with_home(arguments.clip_tokenizer);
  request.aesthetic_head = with_home(arguments.aesthetic_head);
  request.prompts = with_home(arguments.prompts);
  request.image_reward = with_home(arguments.image_reward);
  request.image_reward_tokenizer = with_home(arguments.image_reward_tokenizer);
  request.efficientnet_weights = with_home(arguments.efficientnet_weights);
  request.save_statistics = with_home(arguments.save_statistics);
  fs::path card;
  if (!arguments.out.empty()) card = score::card_path(with_home(arguments.out));
  const auto result = score::score(request);
  if (arguments.json)
    print_json(result.card);
  else
    print(result);
  if (card.empty()) return;  // the values are printed, whether or not the card can be written
  if (card.has_parent_path()) create_folders(card.parent_path());
  write_file_atomically(link_target(card), result.card);
  log::info("wrote {}", card.string());
}

void add_numbers(CLI::App& command, score::ScoreRequest& request) {
  command.add_option("--num-images", request.num_images, "score the first images only; 0: all")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  command.add_option("--batch", request.batch_size, "images that the network sees at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--kid-subsets", request.kid_subsets, "subsets of KID")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command.add_option("--kid-subset-size", request.kid_subset_size, "images in a subset, at most a whole set")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  command.add_option("--neighbours", request.neighbours, "k of precision and recall")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--splits", request.splits, "parts of the inception score")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--seed", request.seed, "seed of KID's subsets and of the splits")
      ->capture_default_str();
}

void add_other_networks(CLI::App& command, ScoreArguments& arguments) {
  command.add_option(
      "--clip", arguments.clip,
      "folder of a CLIP model (Hugging Face, open_clip) for cmmd, clip, aesthetic, pickscore and hpsv2");
  command.add_option("--clip-tokenizer", arguments.clip_tokenizer,
                     "folder of its tokenizer, where that is not in the model's folder or next to it");
  command.add_option("--aesthetic-head", arguments.aesthetic_head,
                     "LAION's head for aesthetic, e.g. sac+logos+ava1-l14-linearMSE.pth");
  command.add_option(
      "--prompts", arguments.prompts,
      "text file for clip, pickscore, hpsv2 and image-reward: a line for each image, in the order of their names "
      "(default: the captions of the images, or the prompts that pixart sample stored)");
  command.add_option("--image-reward", arguments.image_reward, "ImageReward.pt of ImageReward-v1.0");
  command.add_option("--image-reward-tokenizer", arguments.image_reward_tokenizer,
                     "folder with vocab.txt of bert-base-uncased, where that is not next to ImageReward.pt");
  command.add_option("--efficientnet-weights", arguments.efficientnet_weights,
                     "efficientnet-lite0-57934424.pth, for fd-efficientnet-lite0 and kd-efficientnet-lite0");
}

void add_options(CLI::App& command, ScoreArguments& arguments) {
  command.add_option("IMAGES", arguments.images,
                     "folder of images, shards, another source, or an .npz file with images (arr_0)");
  command.add_option("--reference", arguments.reference,
                     "the same of real images, or an .npz file with their statistics (mu, sigma)");
  command.add_option("--weights", arguments.weights,
                     "pt_inception-2015-12-05-6726825d.pth of pytorch-fid, or its tensors as .safetensors");
  command
      .add_option("--metrics", arguments.metrics,
                  join(words_of_enum<score::Metric>(), ", ") + "; several with commas (default: fid)")
      ->delimiter(',')
      ->check(CLI::IsMember(words_of_enum<score::Metric>()));
  command
      .add_option_function<std::string>(
          "--resize",
          [&arguments](const std::string& word) {
            arguments.request.resize = enum_of_word<score::ResizeRule>(word, "resize rule");
          },
          "how images become 299 x 299 pixels: clean as clean-fid (the default), pytorch as pytorch-fid, "
          "tensorflow as ADM and torch-fidelity")
      ->check(CLI::IsMember(words_of_enum<score::ResizeRule>()));
  command.add_option("--out", arguments.out,
                     "write the protocol card to this file (.json), or as score.json to this folder");
  command.add_option("--save-statistics", arguments.save_statistics,
                     "write the statistics of IMAGES to this .npz file, for later scores and other programs");
  auto* compare = command
                      .add_option("--compare", arguments.compare,
                                  "compare the values of two cards, if their protocols are equal; a folder "
                                  "means its score.json")
                      ->expected(2);
  command
      .add_flag("--different-protocols", arguments.different_protocols,
                "compare values of different protocols all the same")
      ->needs(compare);
  command
      .add_option(
          "--calibrate", arguments.calibrate,
          "compute published values again: of the files in this folder, or of a calibration file (.json)")
      ->excludes(compare);
  add_other_networks(command, arguments);
  add_numbers(command, arguments.request);
  command.add_option("--device", arguments.request.device, "auto, cpu, cuda, cuda:<i>")
      ->capture_default_str();
  command.add_flag("--json", arguments.json, "print the card");
}

}  // namespace

void add_score(CLI::App& app) {
  auto arguments = std::make_shared<ScoreArguments>();
  auto* command = app.add_subcommand(
      "score",
      "Score images: FID, sFID, inception score, precision and recall, KID, CMMD, CLIP score, aesthetics, "
      "PickScore, HPSv2, ImageReward, distances of EfficientNet-Lite0's features.");
  add_options(*command, *arguments);
  command->footer(
      "Examples:\n"
      "  pixart score images --reference real --weights pt_inception-2015-12-05-6726825d.pth --out images\n"
      "  pixart score images --reference VIRTUAL_imagenet256_labeled.npz --resize tensorflow\n"
      "    --metrics fid,sfid,inception-score --weights pt_inception-2015-12-05-6726825d.pth\n"
      "  pixart score real --save-statistics real.npz --weights pt_inception-2015-12-05-6726825d.pth\n"
      "  pixart score --compare a/score.json b/score.json\n"
      "  pixart score --calibrate published\n\n"
      "A score compares only with scores of the same protocol: resize rule, weights, reference, number of "
      "images.\n"
      "KID and precision and recall keep 8 KB for each image, EfficientNet-Lite0's features 5 KB, CLIP's\n"
      "embeddings up to 4 KB; the other metrics need the same memory for any number of images.");
  command->callback([arguments, command] { run(*arguments, *command); });
}

}  // namespace pixart::tools
