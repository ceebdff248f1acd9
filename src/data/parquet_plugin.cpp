// The plugin libpixart_parquet.so; see parquet_plugin.h.
#include "parquet_plugin.h"

#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <arrow/result.h>
#include <arrow/util/config.h>
#include <arrow/util/key_value_metadata.h>
#include <parquet/column_page.h>
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/schema.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>

namespace pixart::data {

namespace {

constexpr int64_t kMostMemory = int64_t{2} << 30;     // of one call, in Arrow
constexpr uint64_t kLargestPage = uint64_t{1} << 30;  // decoded
constexpr int64_t kValuesAtOnce = 1024;

// The memory of one call: what a damaged file announces is not allocated.
struct Memory {
  arrow::CappedMemoryPool pool{arrow::system_memory_pool(), kMostMemory};
};

// The file as Arrow's RandomAccessFile, from which the footer is read.
class WholeFile : public arrow::io::RandomAccessFile {
 public:
  WholeFile(uint64_t bytes, const ParquetRead& read) : bytes_(int64_t(bytes)), read_(read) {}
  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }
  arrow::Result<int64_t> Tell() const override { return at_; }
  arrow::Status Seek(int64_t position) override { return at_ = position, arrow::Status::OK(); }
  arrow::Result<int64_t> GetSize() override { return bytes_; }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t bytes) override {
    if (at_ < 0 || bytes < 0 || at_ > bytes_) return arrow::Status::Invalid("a part is outside the file");
    const int64_t count = std::min(bytes, bytes_ - at_);
    auto buffer =
        arrow::Buffer::FromString(count > 0 ? read_(uint64_t(at_), uint64_t(count)) : std::string());
    return at_ += count, buffer;
  }
  arrow::Result<int64_t> Read(int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const auto buffer, Read(bytes));
    std::copy_n(buffer->data(), buffer->size(), static_cast<uint8_t*>(out));
    return buffer->size();
  }

 private:
  int64_t bytes_, at_ = 0;
  const ParquetRead& read_;
};

// A part of the file in reading order. Arrow's reader of pages peeks at each header, reads it, and then the rest of the page.
// Arrow skips by reading, so what is to be skipped must be announced; it is not read from the file then.
class PageStream : public arrow::io::InputStream {
 public:
  PageStream(uint64_t offset, uint64_t end, const ParquetRead& read) : at_(offset), end_(end), read_(read) {}
  uint64_t last_header() const { return last_header_; }
  void skip_next() { skips_ = true; }

  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }
  arrow::Result<int64_t> Tell() const override { return int64_t(at_); }
  arrow::Result<std::string_view> Peek(int64_t bytes) override {
    last_header_ = at_;
    peeked_ = read_(at_, std::min(uint64_t(std::max<int64_t>(bytes, 0)), end_ - at_));
    return std::string_view(peeked_);
  }
  arrow::Result<int64_t> Read(int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const auto buffer, Read(bytes));
    std::copy_n(buffer->data(), buffer->size(), static_cast<uint8_t*>(out));
    return buffer->size();
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t bytes) override {
    if (bytes < 0 || uint64_t(bytes) > end_ - at_)
      return arrow::Status::Invalid("a page goes beyond the end of its column chunk");
    const uint64_t from = at_ - last_header_;
    at_ += uint64_t(bytes);
    if (std::exchange(skips_, false)) return arrow::Buffer::FromString("");
    if (from + uint64_t(bytes) <= peeked_.size())
      return arrow::Buffer::FromString(peeked_.substr(from, size_t(bytes)));
    return arrow::Buffer::FromString(read_(at_ - uint64_t(bytes), uint64_t(bytes)));
  }

 private:
  uint64_t at_, end_, last_header_ = 0;
  const ParquetRead& read_;
  std::string peeked_;  // from last_header_ on
  bool skips_ = false;
};

// What Arrow knows of a column, from its numbers.
std::unique_ptr<parquet::ColumnDescriptor> descriptor_of(const ParquetColumn& column) {
  auto node = parquet::schema::PrimitiveNode::Make("value", parquet::Repetition::OPTIONAL,
                                                   parquet::Type::type(column.physical));
  return std::make_unique<parquet::ColumnDescriptor>(std::move(node), column.most_defined,
                                                     column.most_repeated);
}

std::unique_ptr<parquet::PageReader> open_pages(const ParquetColumn& column, const ParquetChunk& chunk,
                                                std::shared_ptr<PageStream> stream, arrow::MemoryPool& pool) {
  parquet::ReaderProperties properties(&pool);
  properties.set_page_checksum_verification(true);
  return parquet::PageReader::Open(std::move(stream), chunk.values, arrow::Compression::type(chunk.codec),
                                   properties, *descriptor_of(column));
}

// The pages of the chunk from `offset` on.
std::shared_ptr<PageStream> stream_from(const ParquetChunk& chunk, uint64_t offset, const ParquetRead& read) {
  return std::make_shared<PageStream>(offset, chunk.offset + chunk.bytes, read);
}

// The dictionary of a chunk, if it has one, and one of its pages.
class OnePage : public parquet::PageReader {
 public:
  OnePage(std::unique_ptr<PageReader> dictionary, std::unique_ptr<PageReader> page)
      : readers_{std::move(dictionary), std::move(page)} {}
  std::shared_ptr<parquet::Page> NextPage() override {
    while (next_ < 2) {
      auto& reader = readers_[next_++];
      if (reader) return reader->NextPage();
    }
    return nullptr;
  }
  void set_max_page_header_size(uint32_t) override {}

 private:
  std::unique_ptr<PageReader> readers_[2];
  size_t next_ = 0;
};

// Appends values of a page to `result`.
class Appender {
 public:
  explicit Appender(ParquetValues& result) : result_(result) {}
  size_t count() const { return result_.places.size() + result_.numbers.size(); }

  void add(const parquet::ByteArray& value) {
    // Pages that refer to a dictionary repeat its values.
    const auto [known, is_new] = places_.try_emplace(value.ptr, result_.bytes.size());
    const bool is_same = !is_new && known->second + value.len <= result_.bytes.size() &&
                         std::equal(value.ptr, value.ptr + value.len, result_.bytes.data() + known->second);
    if (!is_new && !is_same) known->second = result_.bytes.size();
    if (!is_same) {
      if (result_.bytes.size() + value.len > kLargestPage)
        throw std::runtime_error("a page has more than 1 GiB of values");
      result_.bytes.append(reinterpret_cast<const char*>(value.ptr), value.len);
    }
    result_.places.emplace_back(known->second, value.len);
  }
  void add(int64_t value) { result_.numbers.push_back(value); }

 private:
  ParquetValues& result_;
  std::unordered_map<const uint8_t*, uint64_t> places_;
};

template <class Type>
void decode(parquet::ColumnReader& any, const ParquetColumn& column, ParquetValues& result) {
  auto& reader = static_cast<parquet::TypedColumnReader<Type>&>(any);
  std::vector<int16_t> defined(kValuesAtOnce), repeated(kValuesAtOnce);
  const auto values = std::make_unique<typename Type::c_type[]>(kValuesAtOnce);
  Appender appender(result);
  const bool is_unsigned = column.type == "uint32";  // a narrower one is positive in any case
  while (reader.HasNext()) {
    int64_t num_values = 0;
    const int64_t levels =
        reader.ReadBatch(kValuesAtOnce, column.most_defined > 0 ? defined.data() : nullptr,
                         column.most_repeated > 0 ? repeated.data() : nullptr, values.get(), &num_values);
    if (levels <= 0) throw std::runtime_error("a page has fewer values than its header announces");
    int64_t next = 0;
    for (int64_t i = 0; i < levels; ++i) {
      if (column.most_repeated == 0 || repeated[size_t(i)] == 0)
        result.first.push_back(uint32_t(appender.count()));
      if (column.most_defined > 0 && defined[size_t(i)] < column.most_defined) continue;
      if (next == num_values) throw std::runtime_error("a page has fewer values than its levels announce");
      const auto& value = values[size_t(next++)];
      if constexpr (std::is_same_v<Type, parquet::Int32Type>)
        appender.add(is_unsigned ? int64_t(uint32_t(value)) : int64_t(value));
      else
        appender.add(value);
    }
  }
  result.first.push_back(uint32_t(appender.count()));
}

void decode_any(parquet::ColumnReader& reader, const ParquetColumn& column, ParquetValues& result) {
  switch (parquet::Type::type(column.physical)) {
    case parquet::Type::BYTE_ARRAY:
      return decode<parquet::ByteArrayType>(reader, column, result);
    case parquet::Type::INT32:
      return decode<parquet::Int32Type>(reader, column, result);
    case parquet::Type::INT64:
      return decode<parquet::Int64Type>(reader, column, result);
    case parquet::Type::BOOLEAN:
      return decode<parquet::BooleanType>(reader, column, result);
    default:
      throw std::runtime_error("its type " + column.type + " is not read");
  }
}

// A message of Arrow without its last dot.
std::string in_words(std::string reason) {
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  while (reason.ends_with('.') || reason.ends_with(' ')) reason.pop_back();
  return reason;
}

// Calls `work`; faults of the file that Arrow finds become std::runtime_error.
template <class Work>
auto in_arrow(const Work& work) {
  try {
    return work();
  } catch (const parquet::ParquetStatusException& error) {
    const std::string reason = error.what();
    if (error.status().IsOutOfMemory() && reason.find("cap") == std::string::npos) throw std::bad_alloc();
    throw std::runtime_error(in_words(reason));
  } catch (const parquet::ParquetException& error) {
    throw std::runtime_error(in_words(error.what()));
  }
}

bool is_list(const parquet::schema::Node& node) {
  const auto& logical = node.logical_type();
  return (logical && logical->is_list()) || node.converted_type() == parquet::ConvertedType::LIST;
}

// The names from the root to the column, without the two that Parquet puts between a list and its values.
std::string name_of(const parquet::schema::Node* node) {
  std::vector<const parquet::schema::Node*> nodes;
  for (; node->parent() != nullptr; node = node->parent()) nodes.push_back(node);
  std::reverse(nodes.begin(), nodes.end());
  std::string name;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const bool is_inner = (i > 0 && is_list(*nodes[i - 1])) || (i > 1 && is_list(*nodes[i - 2]));
    if (!is_inner) name += (name.empty() ? "" : ".") + nodes[i]->name();
  }
  return name;
}

ParquetKind kind_of(const parquet::ColumnDescriptor& column) {
  const auto& logical = column.logical_type();
  const bool is_plain = !logical || logical->is_none() || logical->is_string() || logical->is_JSON() ||
                        logical->is_enum() || logical->is_int();
  if (!is_plain || column.max_repetition_level() > 1) return ParquetKind::kOther;
  switch (column.physical_type()) {
    case parquet::Type::BYTE_ARRAY:
      return ParquetKind::kBytes;
    case parquet::Type::INT32:
    case parquet::Type::INT64:
    case parquet::Type::BOOLEAN:
      return ParquetKind::kInteger;
    default:
      return ParquetKind::kOther;
  }
}

// "string", "uint64", "timestamp"
std::string name_of(const parquet::LogicalType& type) {
  if (const auto* number = dynamic_cast<const parquet::IntLogicalType*>(&type))
    return (number->is_signed() ? "int" : "uint") + std::to_string(number->bit_width());
  const std::string text = type.ToString();
  return text.substr(0, text.find('('));  // without the parameters
}

// "list of string", "double"
std::string type_of(const parquet::ColumnDescriptor& column) {
  const auto& logical = column.logical_type();
  std::string type =
      logical && !logical->is_none() ? name_of(*logical) : parquet::TypeToString(column.physical_type());
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return std::string(column.max_repetition_level() > 0 ? "list of " : "") + type;
}

ParquetColumn column_of(const parquet::ColumnDescriptor& column) {
  return {.name = name_of(column.schema_node().get()),
          .type = type_of(column),
          .kind = kind_of(column),
          .physical = int(column.physical_type()),
          .most_defined = column.max_definition_level(),
          .most_repeated = column.max_repetition_level()};
}

ParquetChunk chunk_of(const parquet::ColumnChunkMetaData& chunk, uint64_t file_bytes) {
  int64_t offset = chunk.data_page_offset();
  if (chunk.has_dictionary_page() && chunk.dictionary_page_offset() > 0)
    offset = std::min(offset, chunk.dictionary_page_offset());
  const int64_t bytes = chunk.total_compressed_size();
  if (offset < 0 || bytes < 0 || uint64_t(offset) > file_bytes ||
      uint64_t(bytes) > file_bytes - uint64_t(offset))
    throw std::runtime_error("a column chunk is outside the file");
  return {.offset = uint64_t(offset),
          .bytes = uint64_t(bytes),
          .plain_bytes = uint64_t(std::max<int64_t>(chunk.total_uncompressed_size(), 0)),
          .values = chunk.num_values(),
          .codec = int(chunk.compression())};
}

ParquetFooter read_footer(uint64_t file_bytes, const ParquetRead& read) {
  return in_arrow([&] {
    const auto metadata = parquet::ReadMetaData(std::make_shared<WholeFile>(file_bytes, read));
    ParquetFooter footer;
    for (int i = 0; i < metadata->num_columns(); ++i)
      footer.columns.push_back(column_of(*metadata->schema()->Column(i)));
    for (int g = 0; g < metadata->num_row_groups(); ++g) {
      const auto group = metadata->RowGroup(g);
      auto& added = footer.groups.emplace_back(ParquetGroup{.rows = group->num_rows()});
      if (added.rows < 0) throw std::runtime_error("a row group has a negative number of rows");
      for (int i = 0; i < metadata->num_columns(); ++i)
        added.chunks.push_back(chunk_of(*group->ColumnChunk(i), file_bytes));
    }
    if (const auto& values = metadata->key_value_metadata(); values && values->Contains("huggingface"))
      footer.huggingface = values->Get("huggingface").ValueOr("");
    return footer;
  });
}

ParquetValues read_page(const ParquetColumn& column, const ParquetChunk& chunk, bool has_dictionary,
                        uint64_t page_offset, const ParquetRead& read) {
  return in_arrow([&] {
    Memory memory;
    const auto open = [&](uint64_t offset) {
      return open_pages(column, chunk, stream_from(chunk, offset, read), memory.pool);
    };
    const auto descriptor = descriptor_of(column);
    ParquetValues values;
    const auto reader = parquet::ColumnReader::Make(
        descriptor.get(),
        std::make_unique<OnePage>(has_dictionary ? open(chunk.offset) : nullptr, open(page_offset)),
        &memory.pool);
    decode_any(*reader, column, values);
    return values;
  });
}

ParquetPages list_pages(const ParquetColumn& column, const ParquetChunk& chunk, const ParquetRead& read) {
  return in_arrow([&] {
    Memory memory;
    ParquetPages result;
    int64_t rows = 0;
    const auto stream = stream_from(chunk, chunk.offset, read);
    const auto reader = open_pages(column, chunk, stream, memory.pool);
    reader->set_data_page_filter([&](const parquet::DataPageStats& stats) {
      result.pages.push_back({.offset = stream->last_header(), .first_row = rows});
      rows += stats.num_values;
      stream->skip_next();
      return true;
    });
    while (const auto page = reader->NextPage())
      result.has_dictionary = result.has_dictionary || page->type() == parquet::PageType::DICTIONARY_PAGE;
    if (column.most_repeated == 0) return result;
    rows = 0;
    for (auto& page : result.pages) {
      const auto values = read_page(column, chunk, result.has_dictionary, page.offset, read);
      page.first_row = rows;
      page.continues = values.first.front() > 0;
      rows += int64_t(values.first.size()) - 1;
    }
    return result;
  });
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const ParquetPlugin* pixart_parquet_plugin() {
  static const ParquetPlugin plugin{.version = kParquetPluginVersion,
                                    .library = "Arrow " ARROW_VERSION_STRING,
                                    .read_footer = read_footer,
                                    .list_pages = list_pages,
                                    .read_page = read_page};
  return &plugin;
}

}  // namespace pixart::data
