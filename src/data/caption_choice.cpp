#include "caption_choice.h"

#include <algorithm>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include "caption_places.h"
#include "caption_table.h"
#include "caption_text.h"
#include "pixart/base/claim.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/formats/crc32c.h"
#include "sources.h"

namespace pixart::data {

// A key of a file, and which texts it has.
struct JoinedKey {
  uint64_t hash = 0;
  uint32_t checksum = 0, bytes = 0, first = 0, count = 0;
  auto key() const { return std::tuple(hash, checksum, bytes); }
  bool operator<(const JoinedKey& other) const {
    return key() != other.key() ? key() < other.key() : first < other.first;
  }
};

class CaptionChoice {
 public:
  CaptionChoice(const SourceConfig& config, Listing& listing) : config_(config), listing_(listing) {
    if (config.captions.empty()) return;
    for (const auto& wanted : config.captions) kinds_.push_back({wanted.name, wanted.weight});
    joined_.resize(config.captions.size());
    found_.resize(config.captions.size());
    for (size_t kind = 0; kind < config.captions.size(); ++kind)
      if (!config.captions[kind].from.empty()) join_file(kind);
  }

  // Sets the captions of all rows and rejects rows with invalid ones.
  SpilledVector<CaptionPlace> take() {
    for (int64_t row = 0; row < listing_.size(); ++row) {
      auto& record = listing_.row(row);
      const Text* own = listing_.texts_.data() + record.first_caption;
      const uint32_t count = listing_.num_texts_[size_t(row)];
      begin(row);
      give_sign_of_life();
      kinds_.empty() ? take_first_kind(own, count) : take_kinds(own, count);
      listing_.num_texts_[size_t(row)] = uint32_t(checksums_.size());
      record.checksum = checksums_.empty() ? 0 : checksum_of(checksums_);
    }
    require_all_kinds();
    std::move(faulty_.begin(), faulty_.end(), std::back_inserter(listing_.rejected));
    if (!kinds_.empty()) name_kinds();
    return std::move(places_);
  }

 private:
  using Text = Listing::Text;
  struct Joined {
    SpilledVector<JoinedKey> keys = {};  // sorted
    SpilledVector<Text> texts = {};
  };

  static JoinedKey joined_key(std::string_view key) {
    return {.hash = std::hash<std::string_view>{}(key),
            .checksum = formats::crc32c(key),
            .bytes = uint32_t(key.size())};
  }

  void add(Joined& joined, std::string_view key, std::vector<ListedText> texts) {
    JoinedKey added = joined_key(key);
    added.first = uint32_t(joined.texts.size()), added.count = uint32_t(texts.size());
    for (auto& text : texts) joined.texts.push_back(listing_.checked(text));
    joined.keys.push_back(added);
  }

  void join_file(size_t kind) {
    const auto& wanted = config_.captions[kind];
    auto& joined = joined_[kind];
    if (is_caption_table(wanted.from)) return join_table(wanted, joined);
    const uint32_t file = listing_.file({.path = wanted.from});
    read_caption_file(wanted.from, [&](CaptionLine& line) {
      std::vector<ListedText> texts;
      for (size_t item = 0; item < line.texts.size(); ++item)
        texts.push_back({.kind = wanted.name,
                         .text = std::move(line.texts[item]),
                         .way = {.as = ReadAs::kJson, .file = file, .field = "caption"},
                         .offset = line.offset,
                         .bytes = line.bytes,
                         .item = item});
      add(joined, line.key, std::move(texts));
      return true;
    });
    std::sort(joined.keys.begin(), joined.keys.end());
    if (auto repeated = repeated_keys(joined); !repeated.empty())  // reads again, to name them
      read_caption_file(wanted.from, [&](CaptionLine& line) { return is_first(line.key, repeated); });
  }

  void join_table(const CaptionConfig& wanted, Joined& joined) {
    const CaptionTable table(wanted.from, wanted.column);
    const uint32_t file = listing_.file({.path = wanted.from});
    const auto each_row = [&](const std::function<void(const std::string&, int64_t)>& use) {
      for (int64_t row = 0; row < table.rows(); ++row) {
        try {
          if (const auto key = table.key(row); !key.empty()) use(key, row);
        } catch (const ReadFault& fault) {
          throw UserError(fmt::format("captions {}: {}.", wanted.from.string(), fault.detail));
        }
      }
    };
    each_row([&](const std::string& key, int64_t row) {
      auto found = table.texts(row);
      std::vector<ListedText> texts;
      for (size_t item = 0; item < found.size(); ++item)
        texts.push_back({.kind = wanted.name,
                         .text = std::move(found[item]),
                         .way = {.as = ReadAs::kParquet, .file = file, .field = table.column()},
                         .offset = uint64_t(row),
                         .item = item});
      if (!texts.empty()) add(joined, key, std::move(texts));
    });
    std::sort(joined.keys.begin(), joined.keys.end());
    auto repeated = repeated_keys(joined);
    if (repeated.empty()) return;
    std::vector<std::string> names;
    each_row([&](const std::string& key, int64_t row) {
      if (!table.texts(row).empty() && !is_first(key, repeated)) names.push_back(key);
    });
    throw UserError(fmt::format("captions {}: {} rows are second captions of a key: {}.",
                                wanted.from.string(), names.size(), name_some(names)));
  }

  // Keys that occur more than once; the value says whether is_first() has seen one of them.
  using RepeatedKeys = std::map<decltype(JoinedKey().key()), bool>;
  static RepeatedKeys repeated_keys(const Joined& joined) {
    RepeatedKeys repeated;
    for (size_t i = 1; i < joined.keys.size(); ++i)
      if (joined.keys[i].key() == joined.keys[i - 1].key()) repeated.emplace(joined.keys[i].key(), false);
    return repeated;
  }
  static bool is_first(const std::string& key, RepeatedKeys& repeated) {
    const auto found = repeated.find(joined_key(key).key());
    return found == repeated.end() || !std::exchange(found->second, true);
  }

  std::span<const Text> joined_texts(size_t kind, std::string_view key) const {
    const auto& [keys, texts] = joined_[kind];
    const JoinedKey wanted = joined_key(key);
    const auto* found = std::lower_bound(keys.begin(), keys.end(), wanted);
    if (found == keys.end() || found->key() != wanted.key()) return {};
    return std::span<const Text>(texts).subspan(found->first, found->count);
  }

  void begin(int64_t row) {
    row_ = row;
    checksums_.clear();
    listing_.row(row).first_caption = uint32_t(places_.size());
  }

  void take(const Text& text, bool keeps_blank) {
    if (text.fault > 0) {
      const auto& fault = listing_.faults_[text.fault - 1];
      const auto& kind = listing_.kinds_[listing_.ways_[text.place.way].kind].name;
      faulty_.push_back({.row = row_,
                         .key = std::string(listing_.key(row_)),
                         .offset = 0,
                         .reason = fault.reason,
                         .detail = kind + ": " + fault.detail});
    }
    if (text.place.is_blank == 0) checksums_.push_back(text.checksum);
    if (text.place.is_blank == 0 || keeps_blank) places_.push_back(text.place);
  }

  void take_first_kind(const Text* own, uint32_t count) {
    for (uint32_t t = 0; t < count; ++t)
      if (listing_.ways_[own[t].place.way].kind == listing_.ways_[own[0].place.way].kind)
        take(own[t], /*keeps_blank=*/false);
  }

  void take_kinds(const Text* own, uint32_t count) {
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      if (!config_.captions[kind].from.empty()) {
        for (const auto& text : joined_texts(kind, listing_.key(row_))) take_of(kind, text);
        continue;
      }
      for (uint32_t t = 0; t < count; ++t)
        if (listing_.kinds_[listing_.ways_[own[t].place.way].kind].name == kinds_[kind].name)
          take_of(kind, own[t]);
    }
  }

  void take_of(size_t kind, const Text& text) {
    if (text.is_empty != 0) return;
    ++found_[kind];
    take(text, /*keeps_blank=*/true);
  }

  std::string why_none(size_t kind) const {
    std::string why;
    if (!config_.captions[kind].from.empty() && !joined_[kind].keys.empty())
      why = fmt::format(" The keys of {} are not keys of this source; compare with pixart data check.",
                        config_.captions[kind].from.string());
    if (!listing_.rejected.empty())
      why += fmt::format(" {} of {} samples cannot be used; the first is {}: {}.", listing_.rejected.size(),
                         listing_.size(), printable(listing_.rejected.front().key),
                         printable(listing_.rejected.front().detail));
    return why;
  }

  void require_all_kinds() const {
    for (size_t kind = 0; kind < kinds_.size(); ++kind)
      if (found_[kind] == 0)
        throw UserError(fmt::format("{}: no sample has a caption of kind {}.{}", subject_of(config_),
                                    kinds_[kind].name, why_none(kind)));
  }

  // Ways name the kinds of the config from now on.
  void name_kinds() {
    for (auto& way : listing_.ways_) {
      const auto& name = listing_.kinds_[way.kind].name;
      const auto named = [&](const CaptionKind& kind) { return kind.name == name; };
      way.kind = uint32_t(std::find_if(kinds_.begin(), kinds_.end(), named) - kinds_.begin());
    }
    listing_.kinds_ = kinds_;
  }

  const SourceConfig& config_;
  Listing& listing_;
  std::vector<CaptionKind> kinds_;  // of the config
  std::vector<Joined> joined_;
  std::vector<int64_t> found_;  // of each kind
  SpilledVector<CaptionPlace> places_;
  std::vector<Rejection> faulty_;
  int64_t row_ = 0;
  std::vector<uint32_t> checksums_;  // of the row
};

SpilledVector<CaptionPlace> choose_captions(const SourceConfig& config, Listing& listing) {
  return CaptionChoice(config, listing).take();
}

}  // namespace pixart::data
