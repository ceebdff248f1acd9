// The arithmetic of T2I-CompBench (Huang et al. 2023), equal to that of its published scripts. Facts: BLIP_vqa.py,
// 2D_spatial_eval.py, CLIP_similarity.py and 3_in_1.py of the benchmark's repository.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pixart/text/noun_chunks.h"

namespace pixart::score {

inline constexpr size_t kMostQuestions = 8;  // of one prompt

// The chunks that become questions: the first eight that are not "top", "the side", "the left" or "the right".
std::vector<std::string> questions_of(const std::vector<std::string>& chunks);

double rounded_to_4(double value);  // as Python's '{:.4f}'

// B-VQA of one image: the product of its answers, each rounded to 4 digits, in float32; rounded to 4 digits.
double product_of_answers(const std::vector<double>& probabilities);

double mean_of(const std::vector<double>& values);  // added up in order, in float64

struct Box {
  std::string label = {};
  double score = 0;
  std::array<double, 4> corners = {};  // x_min, y_min, x_max, y_max in pixels
};

// "on the left of" and so on: the first of the benchmark's list that is in the prompt; "" if none is.
std::string relation_of(const std::string& prompt);

// How well the boxes of both objects keep a relation, 0 to 1. "on top of", which the benchmark's list has, is kept
// by nothing in its rule.
double relation_score(const std::string& relation, const Box& first, const Box& second);

struct TwoObjects {
  std::string first = {}, second = {};
};
// The first and the last noun of a spatial prompt; nothing if it has no noun.
std::optional<TwoObjects> objects_of(const std::vector<text::PromptWord>& words);
// Of a complex prompt: the nouns next to the words of its relation, if it has exactly one.
std::optional<TwoObjects> objects_around_relation(const std::string& prompt,
                                                  const std::vector<text::PromptWord>& words);

// The score of one image: a quarter of each found object's confidence, and half of relation_score() if both are found;
// 0 below 0.5. Of several boxes with a label the first counts.
double spatial_score(const std::string& prompt, const std::optional<TwoObjects>& objects,
                     const std::vector<Box>& boxes);

// Which scores the mean of a complex prompt has besides that of its attributes.
enum class ComplexKind { kSpatial, kAction, kBoth };
double three_in_one(ComplexKind kind, double attributes, double spatial, double action);

// A line of a file of prompts as 3_in_1.py compares it: what is in front of the first dot, in lower case.
std::string comparable_prompt(const std::string& line);

}  // namespace pixart::score
