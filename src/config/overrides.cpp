// --set a.b.c=value, applied to the tree of the file before it is checked.
#include <algorithm>
#include <charconv>
#include <optional>

#include "document.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

struct Override {
  int index;
  std::string path;
  std::vector<std::string> segments;
  std::string value;
};

// The position of an override in the tree: a node, and its part of the schema (null below unknown keys).
struct Cursor {
  Node* node;
  const Type* type;
  const Value* fallback;
};

std::optional<Override> split(const std::string& text, int index, Report& report) {
  const auto equals = text.find('=');
  Override result{index, text.substr(0, equals), {}, {}};
  for (size_t from = 0, dot; from <= result.path.size(); from = dot + 1) {
    dot = std::min(result.path.find('.', from), result.path.size());
    result.segments.push_back(result.path.substr(from, dot - from));
  }
  const bool has_empty = contains(result.segments, "");
  if (equals == std::string::npos || has_empty) {
    report.add({1, index}, "", "is not an override (write key=value or section.key=value)");
    return std::nullopt;
  }
  result.value = text.substr(equals + 1);
  return result;
}

// Lists, sections and quotes are YAML; other text is used unchanged, so that " #" or ": " need no quotes.
Node value_node(const Override& override, Report& report) {
  const std::string& text = override.value;
  if (!text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos) {
    return parse(text, report, override.index, override.path);
  }
  int line = 0;
  Node node;
  if (const auto unfit = unfit_character(text, line); !unfit.empty()) {
    report.add({line, override.index}, override.path, unfit);
    node.kind = Node::Kind::kBroken;
    return node;
  }
  node.kind = text == "null" || text == "~" ? Node::Kind::kNull : Node::Kind::kScalar;
  node.text = text;
  return node;
}

std::optional<size_t> index_of(const Node& list, const std::string& segment) {
  size_t index = 0;
  const char* end = segment.data() + segment.size();
  const auto [stop, error] = std::from_chars(segment.data(), end, index);
  if (error == std::errc() && stop == end) {
    return index < list.children.size() ? std::optional(index) : std::nullopt;
  }
  for (size_t i = 0; i < list.children.size(); ++i) {
    const Node* name = list.children[i].find("name");
    if (name != nullptr && name->text == segment) return i;
  }
  return std::nullopt;
}

std::string unknown_element(const Node& list, const std::string& segment) {
  std::vector<std::string> known;
  for (size_t i = 0; i < list.children.size(); ++i) {
    const Node* name = list.children[i].find("name");
    known.push_back(element_name(name != nullptr ? name->text : "", i));
  }
  const std::string choice = known.empty() ? "the list is empty" : "known: " + join(known, ", ");
  return fmt::format("no element '{}' ({}).{}", shortened(segment), choice, did_you_mean(segment, known));
}

class Applier {
 public:
  Applier(const Override& override, Report& report)
      : override_(override), place_{1, override.index}, report_(report) {}

  void apply(Node& root, const Type& type) {
    Cursor at{&root, &type, &type.fresh};
    for (size_t i = 0; i < override_.segments.size(); ++i) {
      make_container(at);
      const std::string& segment = override_.segments[i];
      const std::string path = join({override_.segments.begin(), override_.segments.begin() + long(i)}, ".");
      if (at.node->kind == Node::Kind::kBroken) return;
      if (at.node->kind == Node::Kind::kScalar) {
        report_.add(place_, path,
                    "is a single value and has no keys (set it itself, or remove the rest of the path)");
        return;
      }
      if (!descend(at, segment, path)) return;
    }
    Node value = value_node(override_, report_);
    value.key = at.node->key;
    value.place = place_;
    *at.node = std::move(value);
  }

 private:
  // Creates a section or list that the file does not have; a list starts with the default's elements.
  void make_container(const Cursor& at) {
    Node& node = *at.node;
    if (node.kind != Node::Kind::kNull) return;
    const bool is_list = at.type != nullptr && at.type->kind == Kind::kList && at.fallback != nullptr &&
                         !at.fallback->is_unset();
    Node made;
    made.kind = Node::Kind::kMap;
    if (is_list) made = parse(flow_text(*at.type, *at.fallback), report_, override_.index, override_.path);
    made.key = node.key;
    made.place = place_;
    node = std::move(made);
  }

  bool descend(Cursor& at, const std::string& segment, const std::string& path) {
    if (at.node->kind == Node::Kind::kList) {
      const auto index = index_of(*at.node, segment);
      if (!index) {
        report_.add(place_, path, unknown_element(*at.node, segment));
        return false;
      }
      const Type* element = at.type != nullptr ? at.type->element.get() : nullptr;
      at = {&at.node->children[*index], element, element != nullptr ? &element->fresh : nullptr};
      return true;
    }
    Node* child = at.node->find(segment);
    if (child == nullptr) {
      Node added;
      added.key = segment;
      added.place = place_;
      at.node->children.push_back(std::move(added));
      child = &at.node->children.back();
    }
    at = below(at, child, segment);
    return true;
  }

  static Cursor below(const Cursor& at, Node* child, const std::string& key) {
    if (at.type == nullptr) return {child, nullptr, nullptr};
    const auto& fields = at.type->fields;
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key == key; });
    if (field == fields.end()) return {child, nullptr, nullptr};
    const bool has_default = at.fallback != nullptr && !at.fallback->is_unset();
    const Value& parent = has_default ? *at.fallback : at.type->fresh;
    return {child, &field->type, &parent.items()[size_t(field - fields.begin())]};
  }

  const Override& override_;
  Place place_;
  Report& report_;
};

}  // namespace

void apply_overrides(Node& root, const Type& type, Report& report) {
  for (size_t i = 0; i < report.overrides().size(); ++i) {
    if (const auto override = split(report.overrides()[i], int(i), report))
      Applier(*override, report).apply(root, type);
  }
}

}  // namespace pixart::config::internal
