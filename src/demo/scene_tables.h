// Shared by drawing and judging: colours in the order of scene_colors() and scene_backgrounds(), and shapes.
#pragma once
#include <array>
#include <cstdint>

namespace pixart::demo {

using Color = std::array<uint8_t, 3>;
inline constexpr std::array<Color, 4> kObjectColors = {
    {{220, 40, 40}, {250, 225, 60}, {45, 175, 70}, {45, 95, 235}}};
inline constexpr std::array<Color, 3> kBackgroundColors = {{{12, 12, 16}, {245, 245, 245}, {128, 128, 128}}};

// Signed distance of (x, y) to a shape around the origin, in the unit of `radius`; negative inside.
float shape_distance(int shape, float x, float y, float radius);

}  // namespace pixart::demo
