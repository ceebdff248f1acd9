// Reads the rows of .jsonl and .csv files and of JSON lists one after the other; single rows may be faulty.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pixart::data {

struct TableRow {
  uint64_t offset = 0;         // of the row's first byte in the file
  uint64_t bytes = 0;          // of the row; read alone, they give the same fields
  int64_t line = 0;            // from 1
  nlohmann::json fields = {};  // an object; all values of a CSV row are texts, or null if the row has a fault
  std::string fault = {};      // why there are no fields; "" if there are
  char separator = 0;          // of CSV; 0: the row is JSON
  const std::vector<std::string>* columns = nullptr;  // of CSV: their names, in order
};

// Calls `take` with each row until it returns false; skips empty lines and a byte-order mark.
//   .csv, .tsv         RFC 4180 with comma or tab: the first row names the columns; quoted fields may hold
//                      line breaks and doubled quotes. After a row with wrong quotes, reading continues on
//                      the next line. If the first row has no comma or tab, but semicolons, tabs or bars,
//                      these separate the fields, also where only they give a column a usual name
//                      (image, text, ...), as does what a first line sep=X of Excel names.
//   .jsonl and others  one JSON object per line; NaN and Infinity count as empty texts
// A row has at most 16 MiB and is UTF-8. Lines of a file that begins without a line feed end in a carriage return. Throws
// UserError if the file cannot be read, is UTF-16, compressed, a Parquet file or an HTML page, or has no usable header.
void read_rows(const std::filesystem::path& path, const std::function<bool(TableRow&)>& take);

// Whether read_rows() reads the file as lines of JSON.
bool has_json_lines(const std::filesystem::path& path);

// Calls `take` with each of these lines that begins in bytes [begin, end), counted from 1. Returns how many lines end
// there, so that parts of a file may be read at the same time.
int64_t read_lines(const std::filesystem::path& path, uint64_t begin, uint64_t end,
                   const std::function<void(TableRow&)>& take);

// Calls `take` with each entry of a file that is one JSON list, as for a line of .jsonl. An entry that is not JSON is
// a row with a fault, and the next one follows. Throws UserError if the file cannot be read, is UTF-16, is not
// a list or is cut off. Memory holds one entry.
void read_json_list(const std::filesystem::path& path, const std::function<void(TableRow&)>& take);

// The fields of one row of CSV.
std::vector<std::string> csv_fields(const std::string& row, char separator);

// How deep the lists and objects of a JSON text are nested. Rows may be nested as deep as Python's json can read them with
// its usual limit of recursion; copies and destructors of deeper values could use up the stack.
int nesting_of(std::string_view json);
inline constexpr int kDeepestNesting = 1000;

}  // namespace pixart::data
