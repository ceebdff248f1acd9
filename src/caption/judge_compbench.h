// The wording of T2I-CompBench's evaluation with language models: our own, or that of the user's copy of the benchmark.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "pixart/base/enum_words.h"
#include "pixart/caption/judge.h"

namespace pixart::caption {

// The parts of T2I-CompBench. Its program calls non_spatial "action".
enum class CompBenchPart { kColor, kShape, kTexture, kSpatial, kSpatial3d, kNonSpatial, kComplex, kNumeracy };
inline EnumWords<CompBenchPart> enum_words(CompBenchPart) {
  return {{"color", CompBenchPart::kColor},          {"shape", CompBenchPart::kShape},
          {"texture", CompBenchPart::kTexture},      {"spatial", CompBenchPart::kSpatial},
          {"3d_spatial", CompBenchPart::kSpatial3d}, {"non_spatial", CompBenchPart::kNonSpatial},
          {"complex", CompBenchPart::kComplex},      {"numeracy", CompBenchPart::kNumeracy}};
}

// The two turns for a part of the benchmark. They hold {phrase}, {noun} and {attribute} of the three parts with
// attributes, {prompt} of the others, and {category}.
struct CompBenchWording {
  std::string opening, query;
};

constexpr bool has_attributes(CompBenchPart part) {
  return part == CompBenchPart::kColor || part == CompBenchPart::kShape || part == CompBenchPart::kTexture;
}

CompBenchWording own_wording(CompBenchPart part);

// From the text of MLLM_eval/ShareGPT4V-CoT_eval/Share_eval.py: the string literals of the branches of this part, which are
// read and not run. Throws UserError if they are not there.
CompBenchWording wording_of_program(const std::string& program, CompBenchPart part);

}  // namespace pixart::caption
