// Finds keys by the names that users try.
#include <algorithm>
#include <cctype>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"

namespace pixart::config {

namespace {

constexpr size_t kMostOffered = 5;
using Words = std::vector<std::string>;

Words split(const std::string& path) {
  Words segments(1);
  for (const char c : path) {
    if (c == '.')
      segments.emplace_back();
    else
      segments.back() += c;
  }
  return segments;
}

// The last `count` segments of a path.
std::string tail(const std::string& path, size_t count) {
  const Words segments = split(path);
  return join({segments.end() - long(std::min(count, segments.size())), segments.end()}, ".");
}

std::string parent_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

bool exists(const std::string& path, const std::vector<KeyInfo>& keys) {
  return std::any_of(keys.begin(), keys.end(), [&](const KeyInfo& key) { return key.path == path; });
}

bool is_section(const std::string& path, const std::vector<KeyInfo>& keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const KeyInfo& key) { return key.path.starts_with(path + "."); });
}

// Replaces elements by "[]": stages.text.steps, stages.steps -> stages[].steps.
std::string without_elements(const std::string& asked, const std::vector<KeyInfo>& keys) {
  const Words segments = split(asked);
  std::string path;
  for (size_t i = 0; i < segments.size(); ++i) {
    path += (path.empty() ? "" : ".") + segments[i];
    if (i + 1 == segments.size() || !is_section(path + "[]", keys)) continue;
    path += "[]";
    const bool is_element = !exists(path + "." + segments[i + 1], keys) && i + 2 < segments.size();
    if (is_element) ++i;
  }
  return path;
}

bool is_near(const std::string& word, const std::string& other) {
  return !nearest_word(word, {other}).empty();
}

// True if both paths have the same number of segments and each segment is near the other's.
bool is_near_path(const std::string& asked, const std::string& path) {
  const Words a = split(asked), b = split(path);
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), is_near);
}

// The alphanumeric words of a text, in lower case.
Words words_of(const std::string& text) {
  Words words(1);
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      words.back() += char(std::tolower(static_cast<unsigned char>(c)));
    else if (!words.back().empty())
      words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

// 0 if a word is not near any word of `text`; otherwise 1, plus 1 for each word that occurs unchanged.
size_t likeness(const Words& words, const std::string& text) {
  const Words known = words_of(text);
  size_t sum = words.empty() ? 0 : 1;
  for (const auto& word : words) {
    if (contains(known, word))
      ++sum;
    else if (nearest_word(word, known).empty())
      return 0;
  }
  return sum;
}

template <class TextOf>
Words most_alike(const std::string& asked, const std::vector<KeyInfo>& keys, const TextOf& text_of) {
  const Words words = words_of(tail(asked, 1));
  size_t most = 1;
  Words paths;
  for (const auto& key : keys) {
    const size_t found = likeness(words, text_of(key));
    if (found < most) continue;
    if (found > most) paths.clear();
    most = found;
    paths.push_back(key.path);
  }
  return paths;
}

// The keys in the same section as `asked`, if that section exists.
std::vector<KeyInfo> beside(const std::string& asked, const std::vector<KeyInfo>& keys) {
  const std::string parent = parent_of(asked);
  std::vector<KeyInfo> some;
  for (const auto& key : keys) {
    const std::string its = parent_of(key.path);
    if (!parent.empty() && (its == parent || its.ends_with("." + parent))) some.push_back(key);
  }
  return some;
}

std::string offer(const Words& paths) {
  if (paths.size() == 1) return fmt::format(" Did you mean '{}'?", paths.front());
  const bool all = paths.size() <= kMostOffered;
  const Words first(paths.begin(), paths.begin() + long(std::min(paths.size(), kMostOffered)));
  return fmt::format(" Did you mean one of {}{}?", join(first, ", "), all ? "" : ", ...");
}

}  // namespace

std::vector<KeyInfo> find_keys(const std::string& asked, const std::vector<KeyInfo>& keys) {
  const std::string wanted = without_elements(asked, keys);
  std::vector<KeyInfo> found;
  for (const auto& key : keys)
    if (key.path == wanted) found.push_back(key);
  if (!found.empty()) return found;
  for (const auto& key : keys)
    if (key.path.ends_with("." + wanted)) found.push_back(key);
  return found;
}

std::string key_remedy(const std::string& asked, const std::vector<KeyInfo>& keys) {
  const std::string wanted = without_elements(asked, keys);
  const size_t length = split(wanted).size();
  Words near;
  for (const auto& key : keys)
    if (const auto end = tail(key.path, length); is_near_path(wanted, end)) near.push_back(end);
  if (!near.empty()) return did_you_mean(wanted, near);
  const auto section = beside(wanted, keys);
  for (const auto& some : {section, keys}) {
    if (const auto by_name = most_alike(wanted, some, [](const KeyInfo& key) { return tail(key.path, 1); });
        !by_name.empty())
      return offer(by_name);
    if (const auto by_meaning = most_alike(wanted, some, [](const KeyInfo& key) { return key.meaning; });
        !by_meaning.empty())
      return offer(by_meaning);
  }
  std::set<std::string> names;
  for (const auto& key : section) names.insert(tail(key.path, 1));
  return names.empty() ? "" : fmt::format(" Known keys: {}.", join({names.begin(), names.end()}, ", "));
}

}  // namespace pixart::config
