// Describes all keys, as data and as a page.
#include <cctype>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

// The struct of a section, an optional section or a list of sections; null for other keys.
const Type* section_of(const Type& type) {
  if (type.kind == Kind::kStruct) return &type;
  return type.kind == Kind::kList ? section_of(*type.element) : nullptr;
}

std::string path_of(const Type& type, const std::string& path) {
  return type.kind == Kind::kList && section_of(type) != nullptr ? path + "[]" : path;
}

// A section's defaults: the values that the surrounding struct gives, if it gives any.
const Value& defaults_of(const Type& type, const Value& fallback) {
  return type.kind == Kind::kStruct && !fallback.is_unset() ? fallback : section_of(type)->fresh;
}

KeyInfo key_info(const Field& field, const Value& fallback, const std::string& parent) {
  const bool has_default =
      !field.rule.is_required && (field.type.kind != Kind::kStruct || fallback.is_unset());
  KeyInfo info;
  info.path = path_below(parent, field.key);
  info.type = type_name(field.type) + (field.type.is_optional ? " or null" : "");
  info.default_value = has_default ? flow_text(field.type, fallback) : "";
  info.rule = rule_text(field.rule);
  info.meaning = field.meaning;
  info.on_resume = field.rule.on_resume;
  info.effect = field.rule.effect;
  info.required = field.rule.is_required;
  return info;
}

void collect(const Type& section, const Value& defaults, const std::string& path,
             std::vector<KeyInfo>& keys) {
  for (size_t i = 0; i < section.fields.size(); ++i) {
    const Field& field = section.fields[i];
    const Value& fallback = defaults.items()[i];
    keys.push_back(key_info(field, fallback, path));
    if (const Type* inner = section_of(field.type)) {
      collect(*inner, defaults_of(field.type, fallback), path_of(field.type, keys.back().path), keys);
    }
  }
}

// Text of a table cell, with | and < escaped: neither the end of a column nor HTML ("cuda:<i>").
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '|')
      result += "\\|";
    else if (c == '<')
      result += "&lt;";
    else
      result += c == '\n' ? ' ' : c;
  }
  return result;
}

std::string code(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? "\\|" : std::string(1, c);
  return text.empty() ? "" : "`" + result + "`";
}

std::string on_resume_text(const KeyInfo& key) {
  switch (key.on_resume) {
    case OnResume::kFixed:
      return "fixed";
    case OnResume::kByContent:
      return key.effect.empty() ? "same content" : "same content; with permission: " + key.effect;
    case OnResume::kNeedsPermission:
      return "with permission: " + key.effect;
    case OnResume::kFree:
      return "free";
  }
  return {};
}

// The anchor that GitHub gives to a heading.
std::string anchor(const std::string& heading) {
  std::string result;
  for (const char c : heading) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-') {
      result += char(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return result;
}

class Page {
 public:
  void section(const Type& section, const Value& defaults, const std::string& path) {
    text_ += "\n| key | type | default | allowed | on resume | meaning |\n|---|---|---|---|---|---|\n";
    for (size_t i = 0; i < section.fields.size(); ++i) row(section.fields[i], defaults.items()[i], path);
    for (size_t i = 0; i < section.fields.size(); ++i) {
      const Field& field = section.fields[i];
      const Type* inner = section_of(field.type);
      if (inner == nullptr) continue;
      const std::string inner_path = path_of(field.type, path_below(path, field.key));
      text_ += fmt::format("\n## `{}`\n\n{}\n", inner_path, cell(field.meaning));
      this->section(*inner, defaults_of(field.type, defaults.items()[i]), inner_path);
    }
  }

  std::string take() { return std::move(text_); }

 private:
  void row(const Field& field, const Value& fallback, const std::string& path) {
    const KeyInfo info = key_info(field, fallback, path);
    const bool is_section = field.type.kind == Kind::kStruct;
    std::string type = info.type;
    if (section_of(field.type)) type = fmt::format("[{}](#{})", type, anchor(path_of(field.type, info.path)));
    const std::string default_text = info.required ? "required" : code(info.default_value);
    const std::string resume = is_section && !field.type.is_optional ? "" : cell(on_resume_text(info));
    text_ += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", field.key, type, default_text,
                         cell(info.rule), resume, cell(info.meaning));
  }

  std::string text_;
};

}  // namespace

std::vector<KeyInfo> keys(const Type& type) {
  std::vector<KeyInfo> result;
  collect(type, type.fresh, "", result);
  return result;
}

std::string reference_markdown(const Type& type, const std::string& title, const std::string& prefix) {
  Page page;
  page.section(type, type.fresh, prefix);
  return fmt::format(
             "# {}\n\nAll keys. `[]` is any element of a list. *On resume*: whether a key may change once a stage "
             "has begun that uses it.\n\n"
             "- fixed: no. A new run may have another value.\n"
             "- same content: it names a place. The place may change, and its content is compared with what "
             "the stage began with.\n"
             "- with permission: yes, with `--allow-change KEY`; the text says what follows.\n"
             "- free: yes.\n\n"
             "A key that only stages use which have not begun may always change, and stages and sources may "
             "be added.\n",
             title) +
         page.take();
}

}  // namespace pixart::config::internal
