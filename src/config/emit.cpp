// Writes a Value as YAML text, with every key.
#include "pixart/base/error.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

constexpr size_t kLongestFlow = 100;  // longer lists get a line per element

class Emitter {
 public:
  std::string take() { return std::move(out_); }

  void fields(const Type& type, const Value& value, size_t indent) {
    for (size_t i = 0; i < type.fields.size(); ++i) {
      out_ += std::string(indent, ' ') + type.fields[i].key + ":";
      field_value(type.fields[i].type, value.items()[i], indent);
    }
  }

 private:
  static bool is_section(const Type& type, const Value& value) {
    return type.kind == Kind::kStruct && !value.is_unset() && !type.fields.empty();
  }

  void field_value(const Type& type, const Value& value, size_t indent) {
    const size_t used = out_.size() - (out_.rfind('\n') + 1);  // rfind: npos + 1 is 0 on the first line
    if (is_section(type, value)) {
      out_ += "\n";
      fields(type, value, indent + 2);
      return;
    }
    const std::string flow = flow_text(type, value);
    const bool is_list = type.kind == Kind::kList && !value.is_unset() && !value.items().empty();
    if (is_list && (type.element->kind == Kind::kStruct || used + flow.size() >= kLongestFlow)) {
      out_ += "\n";
      for (const Value& item : value.items()) element(*type.element, item, indent + 2);
      return;
    }
    out_ += " " + flow + "\n";
  }

  void element(const Type& type, const Value& value, size_t indent) {
    if (!is_section(type, value)) {
      out_ += std::string(indent, ' ') + "- " + flow_text(type, value) + "\n";
      return;
    }
    const size_t begin = out_.size();
    fields(type, value, indent + 2);
    out_[begin + indent] = '-';
  }

  std::string out_;
};

}  // namespace

std::string to_yaml(const Type& type, const Value& value) {
  if (type.fields.empty()) return flow_text(type, value) + "\n";
  Emitter emitter;
  emitter.fields(type, value, 0);
  return emitter.take();
}

}  // namespace pixart::config::internal
