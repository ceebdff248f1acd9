// What records.h keeps while a source is listed.
#include <algorithm>
#include <numeric>

#include "caption_places.h"
#include "caption_text.h"
#include "pixart/base/error.h"
#include "pixart/formats/crc32c.h"
#include "records.h"

namespace pixart::data {
namespace fs = std::filesystem;

uint32_t Listing::file(FilePattern pattern) {
  const auto known = std::find(files_.rbegin(), files_.rend(), pattern);
  return known != files_.rend() ? uint32_t(files_.rend() - known - 1) : new_file(std::move(pattern));
}

uint32_t Listing::new_file(FilePattern pattern) {
  files_.push_back(std::move(pattern));
  return uint32_t(files_.size() - 1);
}

ListedText Listing::stored(std::string kind, std::string text) {
  std::string clean = text;
  clean_caption_text(clean);
  ListedText result{.kind = std::move(kind), .text = std::move(text), .way = {}};
  result.offset = stored_.size(), result.bytes = clean.size();
  stored_.append(clean);
  return result;
}

uint32_t Listing::way(CaptionWay way, const std::string& kind, bool is_new) {
  const auto named = [&](const CaptionKind& one) { return one.name == kind; };
  way.kind = uint32_t(std::find_if(kinds_.begin(), kinds_.end(), named) - kinds_.begin());
  if (way.kind == kinds_.size()) kinds_.push_back({kind});
  const auto known = is_new ? ways_.rend() : std::find(ways_.rbegin(), ways_.rend(), way);
  if (known != ways_.rend()) return uint32_t(ways_.rend() - known - 1);
  ways_.push_back(std::move(way));
  return uint32_t(ways_.size() - 1);
}

// The text itself is kept only if it has no place of its own.
Listing::Text Listing::checked(ListedText& text) {
  constexpr uint64_t kMostOffset = uint64_t{1} << 40, kMostItem = uint64_t{1} << 23, kMostBytes = UINT32_MAX;
  Text result{.place = {}, .hash = std::hash<std::string>{}(text.text), .is_empty = text.text.empty()};
  if (auto fault = clean_caption_text(text.text)) {
    faults_.push_back(std::move(*fault));
    result.fault = uint32_t(faults_.size());
  }
  const bool has_place = text.way.as != ReadAs::kStored || text.bytes > 0;
  if (!has_place || text.offset >= kMostOffset || text.item >= kMostItem || text.bytes > kMostBytes) {
    auto kept = stored(text.kind, text.text);
    text.way = kept.way, text.offset = kept.offset, text.bytes = kept.bytes, text.item = 0;
  }
  result.place = {.offset = text.offset,
                  .item = text.item,
                  .is_blank = text.text.empty(),
                  .bytes = uint32_t(text.bytes),
                  .way = way(text.way, text.kind)};
  result.checksum = formats::crc32c(text.text);
  return result;
}

void Listing::add(Record record) {
  PIXART_CHECK(record.key.size() < uint64_t{1} << 26 && keys_.size() < uint64_t{1} << 38, "{} bytes of keys",
               keys_.size());
  rows_.push_back({.key_begin = keys_.size(),
                   .key_bytes = record.key.size(),
                   .offset = record.offset,
                   .bytes = record.bytes,
                   .first_caption = uint32_t(texts_.size()),
                   .file = record.file,
                   .label = int32_t(record.label)});
  keys_.append(record.key);
  num_texts_.push_back(uint32_t(record.captions.size()));
  for (auto& text : record.captions) texts_.push_back(checked(text));
  PIXART_CHECK(texts_.size() <= UINT32_MAX, "{} captions", texts_.size());
}

void Listing::reject(Reason reason, std::string detail, uint64_t offset) {
  PIXART_CHECK(!rows_.empty(), "no record was listed yet");
  rejected.push_back({.row = size() - 1,
                      .key = std::string(key(size() - 1)),
                      .offset = offset,
                      .reason = reason,
                      .detail = std::move(detail)});
}

void Listing::remove_last() {
  texts_.resize(rows_.back().first_caption);
  keys_.resize(rows_.back().key_begin);
  rows_.resize(rows_.size() - 1), num_texts_.resize(rows_.size());
  if (!rejected.empty() && rejected.back().row == size()) rejected.pop_back();
}

void Listing::append(Listing&& part, Files files) {
  std::vector<uint32_t> numbers(part.files_.size());
  for (size_t i = 1; i < numbers.size(); ++i)
    numbers[i] = files == Files::kSame ? file(part.files_[i]) : new_file(part.files_[i]);
  append(std::move(part), numbers, files == Files::kOwn);
}

void Listing::append(Listing&& part, const std::vector<uint32_t>& files) {
  append(std::move(part), files, /*has_own_files=*/false);
}

// A part with files of its own has ways of its own.
void Listing::append(Listing&& part, const std::vector<uint32_t>& files, bool has_own_files) {
  const auto first_row = size();
  const auto first_text = uint32_t(texts_.size()), first_fault = uint32_t(faults_.size());
  std::vector<uint32_t> ways;
  for (auto& one : part.ways_) {
    one.file = files[one.file];
    const std::string& kind = part.kinds_[one.kind].name;
    ways.push_back(way(one, kind, has_own_files));
  }
  for (auto& rejection : part.rejected) rejection.row += first_row;
  for (auto row : part.rows_) {
    row.key_begin += keys_.size();
    row.first_caption += first_text;
    row.file = files[row.file];
    rows_.push_back(row);
  }
  for (auto text : part.texts_) {
    if (part.ways_[text.place.way].as == ReadAs::kStored) text.place.offset += stored_.size();
    text.place.way = ways[text.place.way];
    if (text.fault > 0) text.fault += first_fault;
    texts_.push_back(text);
  }
  PIXART_CHECK(texts_.size() <= UINT32_MAX, "{} captions", texts_.size());
  std::move(part.rejected.begin(), part.rejected.end(), std::back_inserter(rejected));
  std::move(part.faults_.begin(), part.faults_.end(), std::back_inserter(faults_));
  num_texts_.append(part.num_texts_);
  keys_.append(part.keys_), stored_.append(part.stored_);
  part = {};
}

void Listing::write(PartWriter& writer) const {
  writer.text(type);
  writer.values(std::span<const IndexedRow>(rows_));
  writer.values(std::span<const uint32_t>(num_texts_));
  writer.values(std::span<const Text>(texts_));
  writer.text(keys_.view()), writer.text(stored_.view());
  writer.number(files_.size()), writer.number(ways_.size()), writer.number(kinds_.size());
  for (const auto& [path, form, ending, skip] : files_)
    writer.text(path.native()), writer.number(form), writer.text(ending), writer.number(skip);
  for (const auto& [as, file, kind, field] : ways_)
    writer.number(uint64_t(as)), writer.number(file), writer.number(kind), writer.text(field);
  for (const auto& kind : kinds_) writer.text(kind.name);
  writer.number(faults_.size()), writer.number(rejected.size());
  for (const auto& [reason, detail] : faults_) writer.number(uint64_t(reason)), writer.text(detail);
  for (const auto& [row, key, offset, reason, detail] : rejected)
    writer.number(uint64_t(row)), writer.text(key), writer.number(offset), writer.number(uint64_t(reason)),
        writer.text(detail);
}

// The bytes have a checksum, and whoever wrote them is a process of this program.
Listing Listing::read(PartReader& reader) {
  Listing part;
  part.type = reader.text();
  reader.values<IndexedRow>(part.rows_);
  reader.values<uint32_t>(part.num_texts_);
  reader.values<Text>(part.texts_);
  reader.values<char>(part.keys_), reader.values<char>(part.stored_);
  part.files_.resize(reader.count()), part.ways_.resize(reader.count()), part.kinds_.resize(reader.count());
  for (auto& [path, form, ending, skip] : part.files_)
    path = reader.text(), form = FilePattern::Form(reader.number()), ending = reader.text(),
    skip = reader.number();
  for (auto& [as, file, kind, field] : part.ways_)
    as = ReadAs(reader.number()), file = uint32_t(reader.number()), kind = uint32_t(reader.number()),
    field = reader.text();
  for (auto& kind : part.kinds_) kind.name = reader.text();
  part.faults_.resize(reader.count()), part.rejected.resize(reader.count());
  for (auto& [reason, detail] : part.faults_) reason = Reason(reader.number()), detail = reader.text();
  for (auto& [row, key, offset, reason, detail] : part.rejected)
    row = int64_t(reader.number()), key = reader.text(), offset = reader.number(),
    reason = Reason(reader.number()), detail = reader.text();
  return part;
}

std::string_view Listing::key(int64_t row) const {
  const auto& record = rows_[size_t(row)];
  return keys_.view().substr(record.key_begin, record.key_bytes);
}

void Listing::set_key(int64_t row, std::string_view key) {
  rows_[size_t(row)].key_begin = keys_.size();
  rows_[size_t(row)].key_bytes = key.size();
  keys_.append(key);
}

std::vector<bool> Listing::rejected_rows() const {
  std::vector<bool> result(rows_.size());
  for (const auto& rejection : rejected) result[size_t(rejection.row)] = true;
  return result;
}

SpilledVector<Listing::KeyedRow> Listing::by_key(const std::vector<bool>& is_left_out) const {
  SpilledVector<KeyedRow> rows;
  rows.reserve(rows_.size());
  for (int64_t row = 0; row < size(); ++row)
    if (!is_left_out[size_t(row)]) rows.push_back({std::hash<std::string_view>{}(key(row)), row});
  std::sort(rows.begin(), rows.end(), [&](const KeyedRow& a, const KeyedRow& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    const int order = key(a.row).compare(key(b.row));
    return order != 0 ? order < 0 : a.row < b.row;
  });
  return rows;
}

void Listing::prefix_keys(const std::function<std::string(const IndexedRow&)>& prefix) {
  SpilledVector<char> keys;
  keys.reserve(keys_.size());
  for (int64_t i = 0; i < size(); ++i) {
    const std::string name = prefix(row(i)) + std::string(key(i));
    row(i).key_begin = keys.size(), row(i).key_bytes = name.size();
    keys.append(name);
  }
  keys_ = std::move(keys);
  for (auto& rejection : rejected) rejection.key = key(rejection.row);
}

void Listing::keep(const std::vector<bool>& is_kept) {
  SpilledVector<int64_t> place(rows_.size());
  size_t count = 0, num_texts = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    place[i] = int64_t(count);
    if (!is_kept[i]) continue;
    const size_t first = rows_[i].first_caption, texts = num_texts_[i];
    rows_[count] = rows_[i], num_texts_[count] = num_texts_[i];
    rows_[count++].first_caption = uint32_t(num_texts);
    for (size_t t = 0; t < texts; ++t) texts_[num_texts++] = texts_[first + t];
  }
  rows_.resize(count), num_texts_.resize(count), texts_.resize(num_texts);
  std::erase_if(rejected, [&](const Rejection& one) { return !is_kept[size_t(one.row)]; });
  for (auto& rejection : rejected) rejection.row = place[size_t(rejection.row)];
}

void Listing::move_captions(const SpilledVector<int64_t>& owner) {
  SpilledVector<uint32_t> count(rows_.size());
  for (size_t i = 0; i < rows_.size(); ++i) count[size_t(owner[i])] += num_texts_[i];
  SpilledVector<uint32_t> first(rows_.size());
  for (size_t i = 1; i < rows_.size(); ++i) first[i] = first[i - 1] + count[i - 1];
  SpilledVector<Text> texts(texts_.size());
  std::fill(count.begin(), count.end(), 0);
  for (size_t i = 0; i < rows_.size(); ++i) {
    const auto to = size_t(owner[i]);
    for (uint32_t t = 0; t < num_texts_[i]; ++t) {
      const Text& text = texts_[rows_[i].first_caption + t];
      const auto own = texts.begin() + first[to];
      const auto same = [&](const Text& other) {
        return other.hash == text.hash && other.checksum == text.checksum &&
               ways_[other.place.way].kind == ways_[text.place.way].kind;
      };
      if (to != i && std::any_of(own, own + count[to], same)) continue;
      *(own + count[to]++) = text;
    }
  }
  texts_ = std::move(texts);
  for (size_t i = 0; i < rows_.size(); ++i) rows_[i].first_caption = first[i], num_texts_[i] = count[i];
}

int64_t Listing::merge_rows() {
  SpilledVector<int64_t> owner;  // of each row, the one that gets its captions
  int64_t merged = 0;
  const auto sorted = by_key(rejected_rows());
  for (size_t first = 0, i = 1; i < sorted.size(); ++i) {
    const int64_t own = sorted[i].row, other = sorted[first].row;
    if (key(own) != key(other)) {
      first = i;
    } else if (has_texts(own) && row(own).label == row(other).label) {
      if (owner.empty()) {
        owner.resize(rows_.size());
        std::iota(owner.begin(), owner.end(), 0);
      }
      owner[size_t(own)] = other;
      ++merged;
    }
  }
  if (merged == 0) return 0;
  std::vector<bool> is_kept(rows_.size());
  for (size_t i = 0; i < is_kept.size(); ++i) is_kept[i] = owner[i] == int64_t(i);
  move_captions(owner);
  keep(is_kept);
  return merged;
}

}  // namespace pixart::data
