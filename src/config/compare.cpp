// The keys in which two configs differ.
#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "text.h"

namespace pixart::config::internal {

bool same(const Value& a, const Value& b) {
  if (a.data.index() != b.data.index()) return false;
  const auto* items = std::get_if<std::vector<Value>>(&a.data);
  if (items != nullptr)
    return std::equal(items->begin(), items->end(), b.items().begin(), b.items().end(), same);
  if (const auto* x = std::get_if<bool>(&a.data)) return *x == std::get<bool>(b.data);
  if (const auto* x = std::get_if<int64_t>(&a.data)) return *x == std::get<int64_t>(b.data);
  if (const auto* x = std::get_if<double>(&a.data)) return *x == std::get<double>(b.data);
  if (const auto* x = std::get_if<std::string>(&a.data)) return *x == std::get<std::string>(b.data);
  return true;
}

std::vector<std::string> element_names(const Type& element, const Value& list) {
  const auto& fields = element.fields;
  const auto field =
      std::find_if(fields.begin(), fields.end(), [](const Field& f) { return f.key == "name"; });
  const bool has_names = field != fields.end() && field->type.kind == Kind::kText && !field->type.is_optional;
  std::vector<std::string> names, indices;
  for (size_t i = 0; i < list.items().size(); ++i) {
    const Value& item = list.items()[i];
    indices.push_back(std::to_string(i));
    const std::string name = has_names && !item.is_unset()
                                 ? std::get<std::string>(item.items()[size_t(field - fields.begin())].data)
                                 : "";
    names.push_back(element_name(name, i));
  }
  return std::set<std::string>(names.begin(), names.end()).size() == names.size() ? names : indices;
}

namespace {

// The names of `of` that are also in `other`, in the order of `of`.
std::vector<std::string> common(const std::vector<std::string>& of, const std::vector<std::string>& other) {
  std::vector<std::string> result;
  for (const auto& name : of) {
    if (contains(other, name)) result.push_back(name);
  }
  return result;
}

class Comparison {
 public:
  std::vector<Change> take() { return std::move(changes_); }

  void fields(const Type& type, const Value& was, const Value& is, const std::string& path) {
    for (size_t i = 0; i < type.fields.size(); ++i) {
      field(type.fields[i], was.items()[i], is.items()[i], path_below(path, type.fields[i].key));
    }
  }

 private:
  void field(const Field& field, const Value& was, const Value& is, const std::string& path) {
    if (same(was, is)) return;
    const bool is_section = field.type.kind == Kind::kStruct, both_set = !was.is_unset() && !is.is_unset();
    const bool is_list_of_sections =
        field.type.kind == Kind::kList && field.type.element->kind == Kind::kStruct;
    if (both_set && is_section)
      fields(field.type, was, is, path);
    else if (both_set && is_list_of_sections)
      list(field, was, is, path);
    else
      changes_.push_back({path, flow_text(field.type, was), flow_text(field.type, is), field.rule.on_resume,
                          field.rule.effect});
  }

  void list(const Field& field, const Value& was, const Value& is, const std::string& path) {
    const Type& element = *field.type.element;
    const OnResume on_resume = field.rule.on_resume;
    const auto names_was = element_names(element, was), names_is = element_names(element, is);
    for (size_t i = 0; i < names_was.size(); ++i) {
      const std::string element_path = path_below(path, names_was[i]);
      const auto match = std::find(names_is.begin(), names_is.end(), names_was[i]);
      if (match == names_is.end()) {
        changes_.push_back({element_path, flow_text(element, was.items()[i]), "absent", on_resume});
        continue;
      }
      const Value& other = is.items()[size_t(match - names_is.begin())];
      this->field({names_was[i], "", field.rule, element}, was.items()[i], other, element_path);
    }
    for (size_t i = 0; i < names_is.size(); ++i) {
      if (contains(names_was, names_is[i])) continue;
      changes_.push_back(
          {path_below(path, names_is[i]), "absent", flow_text(element, is.items()[i]), on_resume});
    }
    const auto order_was = common(names_was, names_is), order_is = common(names_is, names_was);
    if (order_was != order_is)
      changes_.push_back(
          {path, "order " + join(order_was, ", "), "order " + join(order_is, ", "), on_resume});
  }

  std::vector<Change> changes_;
};

}  // namespace

std::vector<Change> compare(const Type& type, const Value& was, const Value& is) {
  Comparison comparison;
  comparison.fields(type, was, is, "");
  return comparison.take();
}

}  // namespace pixart::config::internal
