// What `pixart judge` has before it asks: checked options, the images, and the questions about them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "judge_questions.h"
#include "pixart/data/dataset.h"
#include "pixart/formats/image_file.h"

namespace pixart::caption {

// With defaults filled in. Throws UserError with all problems.
JudgeOptions checked(JudgeOptions options);

std::vector<std::string> keys_of(const data::Dataset& dataset);

// Throws UserError with all problems of the questions, and if there are none.
QuestionSet questions_for(const JudgeOptions& options, const data::Dataset& dataset);
std::string hash_of(const QuestionSet& set, const std::vector<std::string>& keys);

// One of the images that a file shows: of 4 in two columns, or the whole.
Image part_of(const Image& image, int part, int parts);

}  // namespace pixart::caption
