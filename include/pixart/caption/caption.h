// `pixart caption`: dense captions for the pictures of a source, from a vision-language model behind an
// OpenAI-compatible endpoint.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "pixart/caption/client.h"
#include "pixart/data/dataset.h"

namespace pixart::caption {

struct CaptionOptions {
  std::string endpoint, model;
  std::string prompt;         // {caption} stands for the sample's own caption; empty: the paper's
  bool with_caption = false;  // with the paper's prompt: its form for pictures that have a caption
  std::filesystem::path out;  // folder
  int64_t max_tokens = 1024;
  double temperature = 0.2;
  int64_t limit = 0;            // most samples that are asked for in this call; 0: all
  bool retry_rejected = false;  // asks again for those that were rejected
  bool insecure = false;        // allows a key over http to another machine
  ClientOptions client;         // url is made from `endpoint`
};

struct CaptionReport {
  int64_t listed = 0, captioned = 0, rejected = 0, open = 0;  // the first is the sum of the others
  int64_t prompt_tokens = 0, completion_tokens = 0;
  bool is_complete() const { return open == 0; }
};

// Asks for what is missing and writes, in the source's order,
//   <out>/captions.jsonl  {"key", "caption", "model", "prompt_sha256", "prompt_tokens", "completion_tokens"}
//   a line <out>/rejected.jsonl  {"key", "reason", "detail", "attempts"} a line <out>/jobs.sqlite     what
//   was done so far; a call after a kill continues there
// both also when it is stopped or the endpoint fails. captions.jsonl is what `captions: [{name: long, from:
// FILE}]` of a source reads. Not tried here: endpoints on other machines and TLS.
CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options);

}  // namespace pixart::caption
