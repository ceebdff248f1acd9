#include "mojibake_patterns.h"

#include <fmt/args.h>
#include <fmt/format.h>

namespace pixart::text {
namespace {

struct Category {
  const char* name;
  const char* members;  // of a bracket expression
};

// Characters that occur in mojibake, grouped by their normal use (ftfy/badness.py).
constexpr Category kCategories[] = {
    {"common", "\\xa0\\xad\\xb4\\xb7\\x{2013}-\\x{2015}\\x{2019}\\x{2026}"},
    {"c1", "\\x80-\\x9f"},
    {"bad",
     "\\xa4\\xa6\\xa8\\xaa\\xac\\xaf\\xb8\\xba\\x{192}\\x{2c6}\\x{2c7}\\x{2d8}\\x{2db}\\x{2dc}\\x{2020}\\x{"
     "2021}"
     "\\x{2030}\\x{2310}\\x{25ca}\\x{fffd}"},
    {"law", "\\xa7\\xb6"},
    {"currency", "\\xa2\\xa3\\xa5\\x{20a7}\\x{20ac}"},
    {"start",
     "\\xa1\\xa9\\xab\\xbf\\x{384}\\x{385}\\x{2018}\\x{201a}\\x{201c}\\x{201e}\\x{2022}\\x{2039}\\x{f8ff}"},
    {"end", "\\xae\\xbb\\x{2dd}\\x{201d}\\x{203a}\\x{2122}"},
    {"numeric",
     "\\xb1-\\xb3\\xb5\\xb9\\xbc-\\xbe\\xd7\\xf7\\x{2044}\\x{2116}\\x{2202}\\x{2206}\\x{220f}\\x{2211}\\x{"
     "221a}\\x{221e}"
     "\\x{2229}\\x{222b}\\x{2248}\\x{2260}\\x{2261}\\x{2264}\\x{2265}"},
    {"kaomoji", "\\xb0\\xd2-\\xd6\\xd9-\\xdc\\xf2-\\xf6\\xf8-\\xfc\\x{14c}\\x{150}\\x{16a}\\x{172}"},
    {"upper",
     "\\xc0-\\xd1\\xd8\\xdc\\xdd\\x{100}\\x{102}\\x{104}\\x{106}\\x{10c}\\x{10e}\\x{110}\\x{112}\\x{116}\\x{"
     "118}\\x{11a}"
     "\\x{11e}\\x{122}\\x{12a}\\x{130}\\x{136}\\x{139}\\x{13b}\\x{13d}\\x{141}\\x{143}\\x{145}\\x{147}\\x{"
     "152}\\x{158}"
     "\\x{15a}\\x{15e}\\x{160}\\x{162}\\x{164}\\x{16e}\\x{170}\\x{178}\\x{179}\\x{17b}\\x{17d}\\x{490}"},
    {"lower",
     "\\xdf-\\xf1\\xfc\\x{101}\\x{103}\\x{105}\\x{107}\\x{10d}\\x{10f}\\x{111}\\x{113}\\x{117}\\x{119}\\x{"
     "11b}\\x{11f}"
     "\\x{123}\\x{12b}\\x{12f}\\x{137}\\x{13a}\\x{13c}\\x{13e}\\x{142}\\x{153}\\x{155}\\x{15b}\\x{15f}\\x{"
     "161}\\x{165}"
     "\\x{17a}\\x{17c}\\x{17e}\\x{491}\\x{fb01}\\x{fb02}"},
    {"upper_common",
     "\\xde\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}\\x{38f}\\x{391}-\\x{3ab}\\x{401}-\\x{42f}"},
    {"lower_common", "\\x{3ac}-\\x{3c9}\\x{430}-\\x{45f}"},
    {"box",
     "\\x{2502}\\x{250c}\\x{2510}\\x{2518}\\x{251c}\\x{2524}\\x{252c}\\x{253c}\\x{2550}-\\x{256c}\\x{2580}"
     "\\x{2584}"
     "\\x{2588}\\x{258c}\\x{2590}-\\x{2593}"},
};

// In the order of ftfy's BADNESS_RE; the last groups are sequences that one encoding produces.
constexpr const char* kBadNeighbours = R"(
    [{c1}]
  | [{bad}{lower}{upper}{box}{start}{end}{currency}{numeric}{law}] [{bad}]
  | [a-zA-Z] [{lower_common}{upper_common}] [{bad}]
  | [{bad}] [{lower}{upper}{box}{start}{end}{currency}{numeric}{law}]
  | [{lower}{lower_common}{box}{end}{currency}{numeric}] [{upper}]
  | [{box}{end}{currency}{numeric}] [{lower}]
  | [{lower}{box}{end}] [{currency}]
  | \s [{upper}] [{currency}]
  | [{upper}{box}] [{numeric}{law}]
  | [{lower}{upper}{box}{currency}{end}] [{start}] [{numeric}]
  | [{lower}{upper}{currency}{numeric}{box}{law}] [{end}] [{start}]
  | [{currency}{numeric}{box}] [{start}]
  | [a-z] [{upper}] [{start}{currency}]
  | [{box}] [{kaomoji}]
  | [{lower}{upper}{currency}{numeric}{start}{end}{law}] [{box}]
  | [{box}] [{end}]
  | [{lower}{upper}] [{start}{end}] \w
  | [Œœ][^A-Za-z]
  | [{upper}]°
  | [ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»{start}{end}–—´]
  | × [²³]
  | [ØÙ] [{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»] [ØÙ] [{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»]
  | à[²µ¹¼½¾]
  | √[±∂†≠®™´≤≥¥µø]
  | ≈[°¢]
  | ‚Ä[ìîïòôúùû†°¢π]
  | ‚[âó][àä°ê]
  | вЂ
  | [ВГРС][{c1}{bad}{start}{end}{currency}°µ][ВГРС]
  | ГўВЂВ.[A-Za-z ]
  | Ã[\xa0¡]
  | [a-z]\s?[ÃÂ][ ]
  | ^[ÃÂ][ ]
  | [a-z.,?!{end}] Â [ {start}{end}]
  | β€[™\xa0Ά\xad®°]
  | [ΒΓΞΟ][{c1}{bad}{start}{end}{currency}°][ΒΓΞΟ]
  | ā€
)";

// Letters that are bytes C2..DF, E0..EF and F0 or F3 in some single-byte encoding, and characters that are
// 80..BF in one. A run may begin after a common character of the last group.
constexpr Category kUtf8Bytes[] = {
    {"first_of_2",
     "\\xc2-\\xdf\\x{100}\\x{102}\\x{106}\\x{10c}\\x{10e}\\x{110}\\x{112}\\x{116}\\x{118}\\x{11a}\\x{11e}\\x{"
     "122}\\x{12a}"
     "\\x{130}\\x{136}\\x{139}\\x{13b}\\x{141}\\x{143}\\x{145}\\x{147}\\x{14c}\\x{150}\\x{158}\\x{15a}\\x{"
     "15e}\\x{160}"
     "\\x{162}\\x{16a}\\x{16e}\\x{170}\\x{172}\\x{179}\\x{17b}\\x{17d}\\x{392}-\\x{3a1}\\x{3a3}-\\x{3af}\\x{"
     "412}-\\x{42f}"},
    {"first_of_3",
     "\\xe0-\\xef\\x{101}\\x{103}\\x{105}\\x{107}\\x{10d}\\x{10f}\\x{113}\\x{117}\\x{119}\\x{11b}\\x{123}\\x{"
     "12b}\\x{12f}"
     "\\x{137}\\x{13a}\\x{13c}\\x{155}\\x{17a}\\x{3b0}-\\x{3bf}\\x{430}-\\x{43f}"},
    {"first_of_4", "\\xf0\\xf3\\x{111}\\x{11f}\\x{161}\\x{3c0}\\x{3c3}\\x{440}\\x{443}"},
    {"further",
     "\\x80-\\xbf\\xc6\\xd8\\xe6\\xf8\\x{104}\\x{105}\\x{13d}\\x{13e}\\x{141}\\x{142}\\x{152}\\x{153}\\x{156}"
     "\\x{157}"
     "\\x{15a}\\x{15b}\\x{15e}-\\x{161}\\x{164}\\x{165}\\x{178}-\\x{17e}\\x{192}\\x{2c6}\\x{2c7}\\x{2d8}\\x{"
     "2db}-\\x{2dd}"
     "\\x{384}-\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}\\x{38f}\\x{401}-\\x{40c}\\x{40e}\\x{40f}\\x{451}-"
     "\\x{45c}\\x{45e}"
     "\\x{45f}\\x{490}\\x{491}\\x{2020}\\x{2021}\\x{2030}\\x{2039}\\x{203a}\\x{20ac}\\x{2116}\\x{2122}"},
    {"further_common", "\\x20\\x{2013}-\\x{2015}\\x{2018}-\\x{201a}\\x{201c}-\\x{201e}\\x{2022}\\x{2026}"},
};

constexpr const char* kMistakenUtf8 = R"(
  (?<! [{further}])
  (?: [{first_of_2}] [{further}{further_common}]
    | [{first_of_3}] [{further}{further_common}] [{further}{further_common}]
    | [{first_of_4}] [{further}{further_common}] [{further}{further_common}] [{further}{further_common}] )+
)";

template <size_t kCount>
std::string filled(const char* pattern, const Category (&categories)[kCount]) {
  fmt::dynamic_format_arg_store<fmt::format_context> members;
  for (const Category& category : categories) members.push_back(fmt::arg(category.name, category.members));
  return fmt::vformat(pattern, members);
}

}  // namespace

std::string bad_neighbours_pattern() { return filled(kBadNeighbours, kCategories); }
std::string mistaken_utf8_pattern() { return filled(kMistakenUtf8, kUtf8Bytes); }

}  // namespace pixart::text
