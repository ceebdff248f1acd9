# breaks: metadata that say that a model has no micro-conditions are not believed
# file: src/convert/architecture_text.cpp
# tests: unit_convert
s/if \(source\.contains\(kMicroConditions\)\)/if (false \&\& source.contains(kMicroConditions))/
