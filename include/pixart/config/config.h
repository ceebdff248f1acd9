// The typed, strict reader of YAML files. A struct describes its keys once (pixart/base/rule.h). Reading,
// checking, --set, writing, documentation and the comparison on resume all use that description.
//
// Strict means: the struct gives the types, YAML's guesses do not count. Integers are decimal without leading
// zero; numbers are decimal and finite; booleans are true and false; numbers in quotes are text. Errors are:
// unknown and duplicate keys, missing required keys, anchors, aliases, merge keys, tags, tabs, a second
// document, more than 1 MiB, 100,000 nodes or 64 levels. `null` unsets an optional key and is an error
// elsewhere.
//
// A struct may have `void validate(std::vector<std::string>& problems) const`. It is called after the struct
// and everything inside it was read without a problem, and may add sentences about contradicting keys.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/config/schema.h"

namespace pixart::config {

namespace internal {
template <class T>
const Type& schema();
template <class T>
Value value_of(const T& source);
template <class T>
void assign(Reading& reading, const Value& value, T& target);
}  // namespace internal

// Reads text into a T; messages call the file `name`. `overrides` are "a.b.c=value". An element of a list is
// addressed by its index; in a list of structs by the element's `name`: "stages.text.steps=10". Lists and
// quotes are written as in YAML: "betas=[0.9, 0.99]", "prompts=['a, b']"; other text is used unchanged. A
// later override wins. Throws one UserError that lists every problem as "file:line: key.path: what is wrong
// (what to do)". For a problem of an override it has "--set a.b=1" instead of file:line.
template <class T>
T read_text(const std::string& yaml, const std::string& name,
            const std::vector<std::string>& overrides = {}) {
  internal::Reading reading(yaml, internal::Report(name, overrides), internal::schema<T>());
  T result{};
  internal::assign(reading, reading.value(), result);
  reading.finish();
  return result;
}

template <class T>
T read_file(const std::filesystem::path& path, const std::vector<std::string>& overrides = {}) {
  return read_text<T>(internal::read_config_file(path.string()), path.string(), overrides);
}

// Every key with its value. Reading the text gives the same T.
template <class T>
std::string to_yaml(const T& value) {
  return internal::to_yaml(internal::schema<T>(), internal::value_of(value));
}

// One key, as shown by `pixart explain` and the reference.
struct KeyInfo {
  std::string path;           // "stages[].optimizer.lr"; [] is any element
  std::string type;           // "integer", "list of text", "section" ...
  std::string default_value;  // as YAML; "" for required keys and sections
  std::string rule;           // "more than 0"; "" if any value is allowed
  std::string meaning;
  OnResume on_resume = OnResume::kFixed;
  std::string effect;  // what a permitted change does
  bool required = false;
};

namespace internal {
std::vector<KeyInfo> keys(const Type& type);
std::string reference_markdown(const Type& type, const std::string& title, const std::string& prefix);
}  // namespace internal

// All keys, sections before the keys inside them.
template <class T>
std::vector<KeyInfo> keys() {
  return internal::keys(internal::schema<T>());
}

// A page with one table per section: key, type, default, allowed, on resume, meaning. Paths begin with
// `prefix`.
template <class T>
std::string reference_markdown(const std::string& title, const std::string& prefix = "") {
  return internal::reference_markdown(internal::schema<T>(), title, prefix);
}

// A key whose value differs. Elements of a list of structs are matched by `name` if they have one, otherwise
// by index. An added or removed element, another order, and an added or removed section are changes of the
// key itself.
struct Change {
  std::string path;     // as for overrides
  std::string was, is;  // as YAML
  OnResume on_resume = OnResume::kFixed;
  std::string effect = {};  // what a permitted change does
};

namespace internal {
std::vector<Change> compare(const Type& type, const Value& was, const Value& is);
}

template <class T>
std::vector<Change> compare(const T& was, const T& is) {
  return internal::compare(internal::schema<T>(), internal::value_of(was), internal::value_of(is));
}

// A key of a config with its value.
struct KeyValue {
  std::string path;   // as for overrides: "stages.text.steps"
  std::string key;    // as in KeyInfo: "stages[].steps"
  std::string value;  // as YAML
  bool is_default = false;
  // Set by values_of_file() only: where the value is written.
  int line = 0;             // in the file; 0: not in the file
  int override_index = -1;  // of the override that set it
};

namespace internal {
std::vector<KeyValue> values(const Type& type, const Value& value);
}

// All keys except the sections themselves, in order.
template <class T>
std::vector<KeyValue> values(const T& config) {
  return internal::values(internal::schema<T>(), internal::value_of(config));
}

// The values of a file, each with its line or override. Throws like read_file(), but calls no validate().
template <class T>
std::vector<KeyValue> values_of_file(const std::filesystem::path& path,
                                     const std::vector<std::string>& overrides = {}) {
  const internal::Reading reading(internal::read_config_file(path.string()),
                                  internal::Report(path.string(), overrides), internal::schema<T>());
  reading.finish();
  return internal::values(internal::schema<T>(), reading.value());
}

// The keys that `asked` names: a whole path, in which "stages.text.steps" and "stages.0.steps" mean
// "stages[].steps", or the end of a path ("optimizer.lr", "lr").
std::vector<KeyInfo> find_keys(const std::string& asked, const std::vector<KeyInfo>& keys);

// For a message that no key is called `asked`: " Did you mean 'stages[].optimizer.lr'?", found by names
// first, then by the words of the keys' sentences, so that "learning_rate" finds lr; otherwise the keys of
// that section; or "".
std::string key_remedy(const std::string& asked, const std::vector<KeyInfo>& keys);

// ---- The bridge between structs and schema.h. ----
namespace internal {

// A struct with fields().
template <class T>
concept Described = std::is_class_v<T> && requires(T& value, int visitor) {
  T::fields(value, visitor);
};

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsList = false;
template <class T>
inline constexpr bool kIsList<std::vector<T>> = true;

template <class T>
Type type_of() {
  Type type;
  if constexpr (kIsOptional<T>) {
    type = type_of<typename T::value_type>();
    type.is_optional = true;
  } else if constexpr (kIsList<T>) {
    type.kind = Kind::kList;
    type.element = std::make_shared<const Type>(type_of<typename T::value_type>());
  } else if constexpr (Described<T>) {
    type.kind = Kind::kStruct;
    const T fresh{};
    T::fields(fresh, [&](std::string key, const auto& member, std::string meaning, Rule rule) {
      using Member = std::remove_cvref_t<decltype(member)>;
      if constexpr (HasWords<Member>) rule.words = words_of_enum<Member>();
      type.fields.push_back({std::move(key), std::move(meaning), std::move(rule), type_of<Member>()});
    });
    type.fresh = value_of(fresh);
  } else if constexpr (std::is_same_v<T, bool>) {
    type.kind = Kind::kBool;
  } else if constexpr (std::is_same_v<T, int64_t>) {
    type.kind = Kind::kInteger;
  } else if constexpr (std::is_same_v<T, double>) {
    type.kind = Kind::kNumber;
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    type.kind = Kind::kPath;
  } else if constexpr (HasWords<T>) {
    type.kind = Kind::kText;
  } else {
    static_assert(std::is_same_v<T, std::string>, "not a config type; pixart/base/rule.h lists the types");
    type.kind = Kind::kText;
  }
  return type;
}

template <class T>
const Type& schema() {
  static const Type type = type_of<T>();
  return type;
}

template <class T>
Value value_of(const T& source) {
  Value value;
  if constexpr (kIsOptional<T>) {
    return source ? value_of(*source) : value;
  } else if constexpr (kIsList<T>) {
    auto& items = value.data.template emplace<std::vector<Value>>();
    for (const typename T::value_type& item : source) items.push_back(value_of(item));
  } else if constexpr (Described<T>) {
    auto& items = value.data.template emplace<std::vector<Value>>();
    T::fields(source,
              [&](const auto&, const auto& member, const auto&...) { items.push_back(value_of(member)); });
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    value.data = source.string();
  } else if constexpr (HasWords<T>) {
    value.data = word_of(source);
  } else {
    value.data = source;
  }
  return value;
}

// Leaves `target` unchanged if its value could not be read: Reading::finish() will throw.
template <class T>
void assign(Reading& reading, const Value& value, T& target) {
  if constexpr (kIsOptional<T>) {
    target.reset();
    if (!value.is_unset()) assign(reading, value, target.emplace());
  } else if constexpr (kIsList<T>) {
    if (value.is_unset()) return;
    target.clear();
    for (const Value& item : value.items()) {
      typename T::value_type element{};
      assign(reading, item, element);
      target.push_back(std::move(element));
    }
  } else if constexpr (Described<T>) {
    if (value.is_unset()) return;
    auto item = value.items().begin();
    T::fields(target, [&](const auto&, auto& member, const auto&...) { assign(reading, *item++, member); });
    if constexpr (requires(std::vector<std::string> & problems) {
                    std::as_const(target).validate(problems);
                  }) {
      if (!value.is_correct) return;
      std::vector<std::string> problems;
      std::as_const(target).validate(problems);
      reading.add(value, problems);
    }
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    if (const auto* text = std::get_if<std::string>(&value.data)) target = *text;
  } else if constexpr (HasWords<T>) {
    if (const auto* text = std::get_if<std::string>(&value.data)) target = enum_of_word<T>(*text, "word");
  } else {
    if (const auto* data = std::get_if<T>(&value.data)) target = *data;
  }
}

}  // namespace internal
}  // namespace pixart::config
