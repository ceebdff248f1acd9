// Every key of a config with its value.
#include "pixart/config/config.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

class Listing {
 public:
  std::vector<KeyValue> take() { return std::move(values_); }

  void fields(const Type& type, const Value& value, const Value& fresh, const std::string& path,
              const std::string& key) {
    for (size_t i = 0; i < type.fields.size(); ++i) {
      const Field& field = type.fields[i];
      const Value* usual = fresh.is_unset() ? nullptr : &fresh.items()[i];
      this->field(field, value.items()[i], usual, path_below(path, field.key), path_below(key, field.key));
    }
  }

 private:
  void field(const Field& field, const Value& value, const Value* fresh, const std::string& path,
             const std::string& key) {
    const Type& type = field.type;
    if (type.kind == Kind::kStruct && !value.is_unset())
      return fields(type, value, fresh != nullptr ? *fresh : type.fresh, path, key);
    if (type.kind == Kind::kList && type.element->kind == Kind::kStruct) {
      const auto names = element_names(*type.element, value);
      for (size_t i = 0; i < names.size(); ++i)
        fields(*type.element, value.items()[i], type.element->fresh, path_below(path, names[i]), key + "[]");
      return;
    }
    values_.push_back({.path = path,
                       .key = key,
                       .value = flow_text(type, value),
                       .is_default = fresh != nullptr && same(value, *fresh),
                       .line = value.is_given && value.place.override_index < 0 ? value.place.line : 0,
                       .override_index = value.place.override_index});
  }

  std::vector<KeyValue> values_;
};

}  // namespace

std::vector<KeyValue> values(const Type& type, const Value& value) {
  Listing listing;
  listing.fields(type, value, type.fresh, "", "");
  return listing.take();
}

}  // namespace pixart::config::internal
