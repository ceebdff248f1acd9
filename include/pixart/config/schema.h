// A config struct without its C++ type, so that the reader is compiled once, not once per struct. The
// templates of config.h make it from the struct's fields(); other modules do not use these types.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::config::internal {

// Where a value was written: a line of the file (first line: 1), or the n-th --set.
struct Place {
  int line = 1;
  int override_index = -1;
};

struct Value {
  // monostate: an optional that is not set, or a value that could not be read. vector: the elements of a
  // list, or the fields of a struct in the order of fields().
  std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<Value>> data;
  Place place;
  std::string path;        // of structs: "stages.text.optimizer", "" for the whole file
  bool is_correct = true;  // no problem of it or of anything inside it has been reported
  bool is_given = false;   // the file or an override sets the key

  const std::vector<Value>& items() const { return std::get<std::vector<Value>>(data); }
  bool is_unset() const { return std::holds_alternative<std::monostate>(data); }
};

enum class Kind { kBool, kInteger, kNumber, kText, kPath, kList, kStruct };

struct Field;

struct Type {
  Kind kind = Kind::kText;
  bool is_optional = false;
  std::shared_ptr<const Type> element;  // kList
  std::vector<Field> fields;            // kStruct
  Value fresh;                          // kStruct: a default-constructed one
};

struct Field {
  std::string key, meaning;
  Rule rule;
  Type type;
};

// Collects the problems of one file and its overrides.
class Report {
 public:
  Report(std::string name, std::vector<std::string> overrides);

  // `path` is the key's full path; `what` says what is wrong and, in brackets, what to do.
  void add(const Place& place, const std::string& path, const std::string& what);
  bool is_full() const { return problems_.size() >= kMostProblems; }
  void throw_if_any() const;  // one UserError, ordered by line, --set last

  const std::vector<std::string>& overrides() const { return overrides_; }

 private:
  static constexpr size_t kMostProblems = 50;
  struct Problem {
    Place place;
    std::string text;
  };
  std::string name_;
  std::vector<std::string> overrides_;
  std::vector<Problem> problems_;
  size_t unlisted_ = 0;
};

// Reads `yaml`, after applying the report's overrides, as a `type`. Problems are collected until finish().
class Reading {
 public:
  Reading(const std::string& yaml, Report report, const Type& type);
  const Value& value() const { return value_; }
  void add(const Value& of, const std::vector<std::string>& problems);  // from a struct's validate()
  void finish() const { report_.throw_if_any(); }

 private:
  Report report_;
  Value value_;
};

std::string read_config_file(const std::string& path);
std::string to_yaml(const Type& type, const Value& value);

}  // namespace pixart::config::internal
