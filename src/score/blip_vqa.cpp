#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "attempt.h"
#include "blip_text.h"
#include "clip_pixels.h"
#include "pixart/base/error.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "pixart/data/transform.h"
#include "pixart/nn/device.h"
#include "pixart/score/vqa.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPublishedSide = 480;

// The tokens by which BLIP asks and answers. [DEC] and [ENC] follow BERT's own vocabulary.
struct VqaTokens {
  int64_t ask = 0, answer = 0, yes = 0, no = 0;
};

VqaTokens tokens_of(const text::BertTokenizer& tokenizer, const std::string& folder) {
  const auto word = [&](const char* token) {
    const auto id = tokenizer.id_of(token);
    if (!id)
      throw UserError(fmt::format("{}: its vocabulary has no token {}; it is not that of bert-base-uncased.",
                                  folder, token));
    return *id;
  };
  const int64_t own = tokenizer.vocab_size();
  return {.ask = tokenizer.id_of("[ENC]").value_or(own + 1),
          .answer = tokenizer.id_of("[DEC]").value_or(own),
          .yes = word("yes"),
          .no = word("no")};
}

std::string tokenizer_of(const BlipVqaOptions& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  const fs::path path = options.path;
  return (fs::is_directory(path) ? path : path.parent_path() / "").string();
}

struct OpenedVqa {
  std::optional<models::BlipConfig> config = {};
  std::optional<text::BertTokenizer> tokenizer = {};
  VqaTokens tokens = {};
};

void check_together(const OpenedVqa& opened, const BlipVqaOptions& options, Problems& problems) {
  if (!opened.config) return;
  const auto& [vision, words] = *opened.config;
  if (vision.image_size != kPublishedSide && !options.allow_other_size)
    problems.add(fmt::format(
        "{} sees {} x {} pixels, and B-VQA is published for the {} of model_base_vqa_capfilt_large.pth: its values "
        "would not compare. Give that file, or allow the other size",
        options.path, vision.image_size, vision.image_size, kPublishedSide));
  int64_t largest = std::max(opened.tokens.ask, opened.tokens.answer);
  if (opened.tokenizer) largest = std::max(largest, opened.tokenizer->vocab_size() - 1);
  if (opened.tokenizer && largest >= words.vocab_size)
    problems.add(fmt::format(
        "the tokenizer in {} needs {} tokens, and the model in {} has {}: they do not belong together",
        tokenizer_of(options), largest + 1, options.path, words.vocab_size));
  if (words.max_tokens < kBlipTokens)
    problems.add(fmt::format("{} reads {} tokens, and questions have up to {}", options.path,
                             words.max_tokens, kBlipTokens));
}

OpenedVqa open_vqa(const BlipVqaOptions& options) {
  Problems problems;
  OpenedVqa opened;
  if (options.batch_size < 1) problems.add("batch_size must be at least 1");
  attempt(problems, [&] { opened.config = models::check_blip_vqa_weights(options.path); });
  attempt(problems, [&] {
    opened.tokenizer.emplace(tokenizer_of(options));
    opened.tokens = tokens_of(*opened.tokenizer, tokenizer_of(options));
  });
  check_together(opened, options, problems);
  problems.throw_if_any("BLIP-VQA cannot be used");
  return opened;
}

// As BLIP cleans questions. Lower case is the tokenizer's work.
std::string cleaned(std::string question) {
  std::erase_if(question,
                [](char c) { return std::string_view(".!\"()*#:;~").find(c) != std::string_view::npos; });
  while (question.ends_with(' ')) question.pop_back();
  return question;
}

struct ReadPixels {
  std::vector<float> planes = {};  // empty if the image is bad
  std::string problem = {};
};

ReadPixels read_pixels(const std::string& image, int side) {
  ReadPixels result;
  Problems problems;
  attempt(problems,
          [&] { result.planes = clip_input(data::resize(formats::load_image(image), side, side)); });
  if (!problems.empty()) result.problem = problems.all().front();
  return result;
}

class Answerer {
 public:
  Answerer(OpenedVqa opened, const BlipVqaOptions& options, c10::Device device)
      : blip_(models::load_blip_vqa_weights(options.path, device)),
        tokenizer_(std::move(*opened.tokenizer)),
        tokens_(opened.tokens),
        device_(device),
        batch_size_(options.batch_size) {}

  std::vector<double> operator()(const std::vector<VisualQuestion>& questions) const {
    const at::NoGradGuard no_grad;
    const nn::FullFloat32 full_float32;
    const auto count = int64_t(questions.size());
    Progress progress("ask BLIP-VQA", count, "question");
    Problems problems;
    States states;
    std::vector<double> result;
    for (int64_t begin = 0; begin < count; begin += batch_size_) {
      const int64_t end = std::min(count, begin + batch_size_);
      const std::vector<VisualQuestion> part(questions.begin() + begin, questions.begin() + end);
      update(states, part, problems);
      if (problems.empty()) add_answers(states, part, result);  // after a bad image only to find the others
      progress.update(end);
    }
    problems.throw_if_any("images cannot be read");
    return result;
  }

  const models::LoadedBlip& blip() const { return blip_; }

 private:
  using States = std::map<std::string, at::Tensor>;  // by image: [N, width]

  // Keeps the states of the images of these questions, and computes those that are missing.
  void update(States& states, const std::vector<VisualQuestion>& part, Problems& problems) const {
    std::set<std::string> wanted;
    for (const auto& question : part) wanted.insert(question.image);
    std::erase_if(states, [&](const auto& item) { return !wanted.contains(item.first); });
    std::vector<std::string> missing;
    for (const auto& image : wanted)
      if (!states.contains(image)) missing.push_back(image);
    const auto side = blip_.model->config().vision.image_size;
    std::vector<ReadPixels> pixels(missing.size());
    for_each_in_parallel(int64_t(missing.size()),
                         [&](int64_t i) { pixels[size_t(i)] = read_pixels(missing[size_t(i)], int(side)); });
    std::vector<at::Tensor> inputs;
    for (auto& read : pixels) {
      if (!read.problem.empty()) problems.add(read.problem);
      inputs.push_back(at::from_blob(read.planes.data(), {3, side, side}, at::kFloat));
    }
    if (missing.empty() || !problems.empty()) return;
    const auto rows = blip_.model->image_states(at::stack(inputs).to(device_)).unbind();
    for (size_t i = 0; i < missing.size(); ++i) states.emplace(missing[i], rows[i]);
  }

  void add_answers(const States& states, const std::vector<VisualQuestion>& part,
                   std::vector<double>& result) const {
    std::vector<std::string> texts;
    std::vector<at::Tensor> images;
    for (const auto& question : part) {
      texts.push_back(cleaned(question.question));
      images.push_back(states.at(question.image));
    }
    BlipTokens tokens = blip_tokens(tokenizer_, texts);
    tokens.ids.select(1, 0).fill_(tokens_.ask);
    const at::Tensor mask = tokens.mask.to(device_);
    const at::Tensor asked = blip_.model->text_states(tokens.ids.to(device_), mask, at::stack(images));
    const at::Tensor start = at::full({int64_t(part.size()), 1}, tokens_.answer, mask.options());
    const at::Tensor logits = blip_.model->answer_logits(start, asked, mask).select(1, 0).cpu();
    const at::Tensor margin =
        (logits.select(1, tokens_.yes).to(at::kDouble) - logits.select(1, tokens_.no).to(at::kDouble));
    if (!margin.isfinite().all().item<bool>())
      throw UserError("BLIP-VQA's results are not finite: its weights are damaged, or others.",
                      ExitCode::kNumerics);
    const at::Tensor yes = margin.sigmoid().contiguous();
    result.insert(result.end(), yes.const_data_ptr<double>(), yes.const_data_ptr<double>() + yes.numel());
  }

  models::LoadedBlip blip_;
  text::BertTokenizer tokenizer_;
  VqaTokens tokens_;
  c10::Device device_;
  int64_t batch_size_;
};

std::string protocol_of(const models::LoadedBlip& blip) {
  const auto& vision = blip.model->config().vision;
  const nlohmann::ordered_json protocol = {
      {"network", "BLIP-VQA"},     {"weights_sha256", hash_of_state(*blip.state)},
      {"side", vision.image_size}, {"pixels", "squashed, bicubic"},
      {"norm_eps", vision.eps},    {"question_tokens", kBlipTokens}};
  return protocol.dump();
}

}  // namespace

void check_blip_vqa(const BlipVqaOptions& options) { open_vqa(options); }

YesProbability load_blip_vqa(const BlipVqaOptions& options, std::string* protocol) {
  OpenedVqa opened = open_vqa(options);
  const c10::Device device = nn::select_device(options.device);
  nn::set_num_threads(0);
  nn::keep_freed_memory();
  at::globalContext().setAllowTF32CuDNN(false);  // convolutions in float32
  const auto answerer = std::make_shared<const Answerer>(std::move(opened), options, device);
  if (protocol != nullptr) *protocol = protocol_of(answerer->blip());
  return [answerer](const std::vector<VisualQuestion>& questions) { return (*answerer)(questions); };
}

}  // namespace pixart::score
