// `pixart caption`: dense captions for the pictures of a source, from a vision-language model behind an
// OpenAI-compatible endpoint (llama.cpp's server, vLLM, a hosted one), as PixArt-alpha's auto-labelling.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "pixart/caption/client.h"
#include "pixart/data/dataset.h"

namespace pixart::caption {

struct CaptionOptions {
  std::string endpoint;       // e.g. http://localhost:8080/v1
  std::string model;          // its name there
  std::string prompt;         // {caption} stands for the sample's own caption; empty: the paper's
  bool with_caption = false;  // the paper's prompt for pictures that have a caption
  std::filesystem::path out;  // folder
  int64_t max_tokens = 1024;
  double temperature = 0.2;
  int64_t limit = 0;            // most pictures that are asked for in this call; 0: all
  bool retry_rejected = false;  // asks again for those that were rejected
  bool changed_source =
      false;              // the source may differ from that of the calls before; captions are kept by key
  bool insecure = false;  // allows a key over http to another machine
  ClientOptions client;   // `url` is made from `endpoint`
};

struct CaptionReport {
  int64_t listed = 0, captioned = 0, rejected = 0, open = 0;  // the first is the sum of the others
  std::map<std::string, int64_t> by_reason;                   // of those rejected
  int64_t prompt_tokens = 0, completion_tokens = 0;
  bool is_stopped = false;  // by a signal
};
// "95 of 100 pictures captioned; 5 rejected: 3 refusal, 2 damaged_picture; 0 open".
std::string describe(const CaptionReport& report);

// Asks for what is missing and writes, in the source's order,
//   <out>/captions.jsonl  {"key", "caption", "model", "prompt_sha256", "prompt_tokens", "completion_tokens"}
//   <out>/rejected.jsonl  {"key", "reason", "detail", "attempts"}
// a line; also when it is stopped or the endpoint fails. <out>/jobs.sqlite holds what was done so far: each
// answer is there before the next request is sent, and the same call continues after a kill. `captions:
// [{name: long, from: <out>/captions.jsonl}]` of a source reads the result.
//
// Every listed sample is captioned, rejected or open. Rejected: samples that the source cannot give
// (data::Reason; never sent) and answers that are no caption (AnswerFault). A request that fails counts
// against its picture only when the endpoint answers others; else the call ends with a UserError and the
// picture stays open: after 3 requests in a row without answer, or 20 that were refused. Its code is
// kRequeue where the endpoint had answered before in this call, else kBadInput. With other settings than in
// the calls before: UserError that names them. One process at a time (kFolderOwned).
//
// Tested against servers of the tests' own over plain HTTP. TLS is libcurl's, with the system's certificates;
// hosted endpoints were not reached.
CaptionReport caption(const data::SourceConfig& source, const data::Dataset& dataset,
                      const CaptionOptions& options);

}  // namespace pixart::caption
