#include "call_progress.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::distributed {

namespace {

enum Place : int { kBefore, kInLibrary, kQueued, kOnDevice, kAfter };

Place place_in(int64_t call, const CallProgress& rank) {
  if (rank.begun < call) return kBefore;
  if (rank.returned < call) return kInLibrary;
  if (rank.reached < call) return kQueued;
  return rank.done < call ? kOnDevice : kAfter;
}

std::string words_of(Place place, int64_t call) {
  const std::string name = fmt::format("call {} of NCCL", call);
  switch (place) {
    case kBefore:
      return name + " has not begun";
    case kInLibrary:
      return name + " has not returned from the library";
    case kQueued:
      return "the GPU has not reached " + name;
    default:
      return "the GPU has not finished " + name;
  }
}

}  // namespace

Delay find_delay(std::span<const CallProgress> ranks) {
  Delay delay;
  for (size_t r = 0; r < ranks.size(); ++r)
    delay.call = r == 0 ? ranks[r].done + 1 : std::min(delay.call, ranks[r].done + 1);
  std::vector<Place> places;
  for (const auto& rank : ranks) places.push_back(place_in(delay.call, rank));
  const auto [least, most] = std::minmax_element(places.begin(), places.end());
  if (least == places.end()) return delay;
  delay.place = words_of(*least, delay.call);
  for (size_t r = 0; r < places.size() && *least != *most; ++r)
    if (places[r] == *least) delay.ranks.push_back(int(r));
  return delay;
}

std::string name_delay(const Delay& delay, const std::string& problem) {
  if (delay.ranks.empty()) return fmt::format("{}. All ranks are equally far: {}", problem, delay.place);
  std::vector<std::string> names;
  for (const int rank : delay.ranks) names.push_back(std::to_string(rank));
  return fmt::format("rank {}: {}; the other ranks are further. {}", name_some(names), delay.place, problem);
}

}  // namespace pixart::distributed
