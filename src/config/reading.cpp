// Node + Type -> Value: checks the structure; scalar.cpp checks single values.
#include <algorithm>

#include "document.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "scalar.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

// The schema's facts about the value at a path.
struct Expected {
  const Type& type;
  const Rule& rule;
  const Value& fallback;  // the default
  std::string path;
};

const char* kind_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a section of keys";
    default:
      return "a single value";
  }
}

// The sections in which `key` would have been right, e.g. "optimizer.lr" for lr.
std::string path_of_nested_key(const Type& type, const std::string& key) {
  for (const Field& field : type.fields) {
    for (const Field& inner : field.type.fields) {
      if (inner.key == key) return field.key + "." + key;
    }
    const std::string deeper = path_of_nested_key(field.type, key);
    if (!deeper.empty()) return field.key + "." + deeper;
  }
  return {};
}

std::string unknown_key_remedy(const Type& type, const std::string& key) {
  std::vector<std::string> known;
  for (const Field& field : type.fields) known.push_back(field.key);
  const std::string nested = path_of_nested_key(type, key);
  if (!nested.empty()) return fmt::format(" Did you mean '{}'?", nested);
  const std::string near = did_you_mean(key, known);
  return near.empty() ? " (known here: " + join(known, ", ") + ")" : near;
}

class Checker {
 public:
  explicit Checker(Report& report) : report_(report) {}

  Value read(const Node& node, const Expected& expected) {
    Value value;
    value.place = node.place;
    if (node.kind == Node::Kind::kBroken) return failed(std::move(value));
    if (node.kind == Node::Kind::kNull) return read_null(node, expected, std::move(value));
    switch (expected.type.kind) {
      case Kind::kStruct:
        return read_struct(node, expected);
      case Kind::kList:
        return read_list(node, expected);
      default:
        return read_single(node, expected);
    }
  }

 private:
  static Value failed(Value value) {
    value.data = std::monostate{};
    value.is_correct = false;
    return value;
  }

  Value report(const Node& node, const Expected& expected, const std::string& what, Value value = {}) {
    report_.add(node.place, expected.path, what);
    value.place = node.place;
    return failed(std::move(value));
  }

  Value read_null(const Node& node, const Expected& expected, Value value) {
    if (expected.type.is_optional) return value;
    const bool is_text = expected.type.kind == Kind::kText || expected.type.kind == Kind::kPath;
    const char* remedy = expected.path.empty() ? "the file is empty"
                         : is_text             ? "write one, \"\" for an empty text, or remove the key"
                                               : "write one, or remove the key";
    return report(node, expected, fmt::format("no value ({})", remedy));
  }

  Value read_single(const Node& node, const Expected& expected) {
    Value value;
    value.place = node.place;
    if (node.kind != Node::Kind::kScalar) {
      const bool is_bool = expected.type.kind == Kind::kBool;
      const auto remedy = (is_bool ? "write " : "write one ") + type_name(expected.type);
      return report(node, expected,
                    fmt::format("got {}, expected a single value ({})", kind_of(node), remedy));
    }
    std::string problem = read_scalar(node, expected.type.kind, value);
    if (problem.empty()) problem = check_rule(expected.rule, value);
    const auto* text = std::get_if<std::string>(&value.data);
    if (problem.empty() && expected.rule.is_required && text != nullptr && text->empty())
      problem = "is empty (write one " + type_name(expected.type) + ")";
    return problem.empty() ? value : report(node, expected, problem);
  }

  Value read_list(const Node& node, const Expected& expected) {
    if (node.kind != Node::Kind::kList) {
      const std::string example = node.kind == Node::Kind::kScalar ? "write [" + shortened(node.text) + "]"
                                                                   : "begin each element with -";
      return report(node, expected, fmt::format("got {}, expected a list ({})", kind_of(node), example));
    }
    Value value;
    value.place = node.place;
    auto& items = value.data.emplace<std::vector<Value>>();
    const Type& element = *expected.type.element;
    for (size_t i = 0; i < node.children.size(); ++i) {
      const Node& child = node.children[i];
      const Node* name = child.kind == Node::Kind::kMap ? child.find("name") : nullptr;
      const std::string key = element_name(name != nullptr ? name->text : "", i);
      items.push_back(read(child, {element, expected.rule, element.fresh, path_below(expected.path, key)}));
      value.is_correct = value.is_correct && items.back().is_correct;
    }
    if (items.empty() && expected.rule.is_required) {
      report_.add(node.place, expected.path, "the list is empty (write one element or more)");
      value.is_correct = false;
    }
    const auto length = expected.rule.length;
    if (length && items.size() != *length) {
      report_.add(node.place, expected.path,
                  fmt::format("the list has {} elements, expected exactly {}", items.size(), *length));
      value.is_correct = false;
    }
    return value;
  }

  Value read_struct(const Node& node, const Expected& expected) {
    if (node.kind != Node::Kind::kMap) {
      return report(node, expected,
                    fmt::format("got {}, expected a section (write lines of key: value)", kind_of(node)));
    }
    Value value;
    value.place = node.place;
    value.path = expected.path;
    value.is_correct = check_keys(node, expected);
    auto& items = value.data.emplace<std::vector<Value>>();
    const Value& fallback = expected.fallback.is_unset() ? expected.type.fresh : expected.fallback;
    for (size_t i = 0; i < expected.type.fields.size(); ++i) {
      const Field& field = expected.type.fields[i];
      items.push_back(read_field(node, field, fallback.items()[i], expected.path));
      value.is_correct = value.is_correct && items.back().is_correct;
    }
    return value;
  }

  bool check_keys(const Node& node, const Expected& expected) {
    const auto& fields = expected.type.fields;
    bool all_known = true;
    for (const Node& child : node.children) {
      if (std::any_of(fields.begin(), fields.end(),
                      [&](const Field& field) { return field.key == child.key; }))
        continue;
      all_known = false;
      // Finding the nearest word takes time, and a hostile file may have many unknown keys.
      const std::string remedy = report_.is_full() ? "" : unknown_key_remedy(expected.type, child.key);
      report_.add(child.place, path_below(expected.path, child.key), "unknown key." + remedy);
    }
    return all_known;
  }

  Value read_field(const Node& parent, const Field& field, const Value& fallback, const std::string& path) {
    const Expected expected{field.type, field.rule, fallback, path_below(path, field.key)};
    if (const Node* node = parent.find(field.key)) {
      Value given = read(*node, expected);
      given.is_given = true;
      return given;
    }
    Node absent;
    absent.place = parent.place;
    if (field.rule.is_required) {
      return report(absent, expected,
                    fmt::format("is missing and has no default (add it: {})", field.meaning));
    }
    if (field.type.kind == Kind::kStruct && !fallback.is_unset()) {  // it may have required keys
      absent.kind = Node::Kind::kMap;
      return read(absent, expected);
    }
    Value value = fallback;
    value.place = parent.place;
    return value;
  }

  Report& report_;
};

}  // namespace

Reading::Reading(const std::string& yaml, Report report, const Type& type) : report_(std::move(report)) {
  Node root = parse(yaml, report_);
  if (root.kind != Node::Kind::kBroken) apply_overrides(root, type, report_);
  value_ = Checker(report_).read(root, {type, Rule{}, type.fresh, ""});
}

namespace {

bool begins_with_path(const std::string& problem, const std::string& path) {
  return problem.size() > path.size() && problem.starts_with(path) &&
         problem.compare(path.size(), 2, ": ") == 0;
}

// The struct inside `value` with whose path the problem begins, or null. The element of a list is named by its path, or by
// its index in place of its name; sets `length` to that of the text that names it.
const Value* named_inside(const Value& value, const std::string& problem, size_t& length) {
  const auto* items = std::get_if<std::vector<Value>>(&value.data);
  if (items == nullptr) return nullptr;
  for (size_t i = 0; i < items->size(); ++i) {
    const Value& item = (*items)[i];
    const std::string parent = item.path.substr(0, item.path.rfind('.') + 1);
    for (const auto& path : {item.path, parent + std::to_string(i)})
      if (!item.path.empty() && begins_with_path(problem, path)) {
        length = path.size() + 2;
        return &item;
      }
    if (const Value* found = named_inside(item, problem, length)) return found;
  }
  return nullptr;
}

}  // namespace

// A problem of a struct may concern one inside it, with whose path it then begins.
void Reading::add(const Value& of, const std::vector<std::string>& problems) {
  for (const auto& problem : problems) {
    size_t length = 0;
    const Value* inner = named_inside(of, problem, length);
    const Value& place = inner != nullptr ? *inner : of;
    report_.add(place.place, place.path, problem.substr(length));
  }
}

}  // namespace pixart::config::internal
