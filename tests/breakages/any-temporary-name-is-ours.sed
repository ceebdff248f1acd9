# breaks: whatever is called .tmp-* or .del-* is deleted
# file: src/base/leftovers.cpp
# tests: unit_base unit_data
s/^  const auto fits = \[\&\].*/  if (name.starts_with(kTemporaryPrefix) || name.starts_with(kDeletedPrefix)) return true;\n&/
