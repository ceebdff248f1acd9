# breaks: mending deletes whatever path the manifest of a feature set names
# file: src/data/feature_manifest.cpp
# tests: unit_data
s/^  return !name\.empty\(\) \&\& name != "\."/  if (!name.empty()) return true;\n&/
