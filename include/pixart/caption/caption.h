// `pixart caption`: dense captions for the images of a source, from a vision-language model with an
// OpenAI-compatible endpoint (llama.cpp's server, vLLM, a hosted one), like PixArt-alpha's auto-labelling.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "pixart/caption/client.h"
#include "pixart/caption/reasoning.h"
#include "pixart/data/dataset.h"

namespace pixart::caption {

struct CaptionOptions {
  std::string endpoint;       // e.g. http://localhost:8080/v1
  std::string model;          // the model's name at the endpoint
  std::string prompt;         // {caption} means the sample's own caption; empty: the paper's prompt
  bool with_caption = false;  // the paper's prompt for images that have a caption
  std::filesystem::path out;  // folder
  int64_t max_tokens = 1024;
  double temperature = 0.2;
  Reasoning reasoning = Reasoning::kRemove;
  bool accept_same = false;     // accepts one and the same caption for all images
  int64_t limit = 0;            // largest number of images in this call; 0: all
  bool retry_rejected = false;  // requests rejected images again
  bool changed_source = false;  // the source may differ from earlier calls; captions are kept by key
  bool insecure = false;        // allows a key over http to another machine
  ClientOptions client;         // `url` is made from `endpoint`
};

struct CaptionReport {
  int64_t listed = 0, captioned = 0, rejected = 0, open = 0;  // listed = captioned + rejected + open
  std::map<std::string, int64_t> by_reason;                   // counts of the rejected samples
  std::map<std::string, int64_t> cleaned;  // counts of captions with something removed, by its name
  int64_t prompt_tokens = 0, completion_tokens = 0;
  bool is_stopped = false;  // by a signal
};
// "95 of 100 images captioned; 5 rejected: 3 refusal, 2 damaged_picture; 0 open".
std::string describe(const CaptionReport& report);
// "removed from answers: 3 preamble, 1 token"; "" if nothing was.
std::string describe_cleaned(const CaptionReport& report);

// Requests the missing captions and writes, in the source's order, one entry per line,
//   <out>/captions.jsonl  {"key", "caption", "model", "prompt_sha256", "prompt_tokens", "completion_tokens"}
//                         and "cleaned": the names of what was removed from the answer, if anything
//   <out>/rejected.jsonl  {"key", "reason", "detail", "attempts"}
// also when it is stopped or the endpoint fails. <out>/jobs.sqlite holds all results so far: each answer is
// stored before the next request is sent, and the same call continues after a kill. A source reads the result
// with `captions: [{name: long, from: <out>/captions.jsonl}]`.
//
// Every listed sample is captioned, rejected or open. Rejected are samples that the source cannot read
// (data::Reason; never sent) and samples whose answer is not a caption (AnswerFault). Thoughts of reasoning
// models, tokens of chat templates, code fences and words to the user are removed by the rules of
// src/caption/answer_rules.cpp; refusals in many languages and answers without an image are recognised by
// them. A failed request rejects its image only if the endpoint answers others. Otherwise, after 3 requests
// in a row without an answer, or 20 refused ones, the call throws UserError and the images stay open; the
// code is kRequeue if the endpoint had answered before in this call or limits the number of requests (429),
// else kBadInput. The same for answers that are reasoning alone, or say that no image came. If the first 8
// answers are one caption for different images, it throws UserError and forgets them. Throws UserError that
// names the settings that differ from earlier calls. One process at a time (kFolderOwned).
//
// Tested with the tests' own servers, over HTTP and TLS; not with hosted endpoints.
CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options);

}  // namespace pixart::caption
