#include "pixart/data/table_rows.h"

#include "fuzz.h"

namespace {

using namespace pixart;

// Rows are in the order of the file, begin within it, and have fields or a fault.
struct RowCheck {
  uint64_t size = 0, next = 0;
  void take(const data::TableRow& row) {
    if (row.offset < next || row.offset > size || row.line < 1) std::abort();
    if (row.fault.empty() && !row.fields.is_object()) std::abort();
    next = row.offset + 1;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const char* ending : {"jsonl", "csv", "tsv"}) {
    fuzz::accept_or_refuse([&] {
      RowCheck check{size};
      data::read_rows(fuzz::file_of(data, size, ending), [&](data::TableRow& row) {
        check.take(row);
        return true;
      });
    });
  }
  fuzz::accept_or_refuse([&] {
    RowCheck check{size};
    data::read_json_list(fuzz::file_of(data, size), [&](const data::TableRow& row) { check.take(row); });
  });
  return 0;
}
