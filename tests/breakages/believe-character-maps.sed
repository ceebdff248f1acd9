# breaks: the character map of a tokenizer.json is given to SentencePiece unchecked
# file: src/text/tokenizer_json.cpp
# tests: unit_text
s/if \(const auto damage = damage_of_character_map\(\*map\); !damage\.empty\(\)\)/if (const auto damage = damage_of_character_map(*map); false)/
