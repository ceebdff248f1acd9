// Answers of BLIP-VQA (Li et al. 2022) to yes/no questions about images, as T2I-CompBench's B-VQA asks them.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pixart::score {

struct VisualQuestion {
  std::string image;  // path of an image file
  std::string question;
};

// The probability of the answer yes against no, p(yes) / (p(yes) + p(no)) of the first answer token, not
// rounded, in the order of the questions. An image that questions name one after the other is read and
// encoded once. Throws one UserError that lists every image that cannot be read, and UserError(kNumerics) if
// a result is not finite.
using YesProbability = std::function<std::vector<double>(const std::vector<VisualQuestion>&)>;

struct BlipVqaOptions {
  // model_base_vqa_capfilt_large.pth, or a folder of Hugging Face's BlipForQuestionAnswering.
  std::string path;
  std::string tokenizer = {};  // folder with vocab.txt or tokenizer.json of bert-base-uncased; "": in path
  bool allow_other_size =
      false;  // false: refuse a model that does not see 480 x 480 pixels, as the published one does
  std::string device = "auto";  // as in ScoreRequest
  int64_t batch_size = 16;      // questions that the network sees at a time
};

// Throws UserError with every problem of the options and files; names and shapes of the weights are compared,
// and no weight is read.
void check_blip_vqa(const BlipVqaOptions& options);

// Reads the model. `protocol` gets what the answers depend on: a JSON object with the hash of the weights,
// the size of the images and the rule of the pixels, for cards. Throws UserError as check_blip_vqa().
YesProbability load_blip_vqa(const BlipVqaOptions& options, std::string* protocol = nullptr);

}  // namespace pixart::score
