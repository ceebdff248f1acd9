#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "job_store.h"
#include "pixart/caption/caption.h"

namespace pixart::caption {

inline constexpr const char* kCaptions = "captions.jsonl";
inline constexpr const char* kRejected = "rejected.jsonl";

// Writes captions.jsonl and rejected.jsonl, each completely or not at all, and counts. `unusable`: rows that
// the listing itself rejects.
CaptionReport write_results(const std::filesystem::path& folder, const data::Dataset& dataset,
                            const std::map<int64_t, data::Rejection>& unusable, const JobStore& store,
                            const std::string& prompt_sha256);

}  // namespace pixart::caption
