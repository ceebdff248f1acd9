// Style and script of this module's pages, in addition to those of base/html.h.
#pragma once
#include <string_view>

namespace pixart::report {

inline constexpr std::string_view kPageStyle = R"css(
:root { --b0: #08306b; --b1: #1f5a9e; --b2: #2b7f95; --b3: #1b7a3d; --b4: #7a7200; --b5: #b05c00; --b6: #c4351a; --b7: #8c0d3a; }
@media screen and (prefers-color-scheme: dark) { :root { --b0: #cfe3ff; --b1: #8fc0ff; --b2: #5cc9dc; --b3: #6bd08c; --b4: #d3cf5a; --b5: #f7b05a;
  --b6: #ff8a70; --b7: #ff86b0; } }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: .6rem 0; padding: 0; }
a { color: var(--s0); } :focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 2rem; margin: .5rem 0; }
.facts div { display: grid; grid-template-columns: 7.5rem 1fr; gap: .8rem; padding: .2rem 0; border-bottom: 1px solid var(--line); }
.facts dt { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.remarks { border-left: 3px solid var(--s1); margin: .8rem 0; padding: .1rem 0 .1rem 1.4rem; overflow-wrap: anywhere; }
tbody td, tbody th { overflow-wrap: break-word; vertical-align: top; } td:not(.number), tbody th { min-width: 5.5rem; }
.source td:last-child { min-width: 18rem; font-size: .8125rem; color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: .4rem 2rem; align-items: start; }
.chart, .grid { break-inside: avoid; } figcaption { font-weight: 500; } figcaption span { color: var(--soft); font-weight: 400; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; margin: .2rem 0; padding: 0; font-size: .8125rem; }
.legend li { display: flex; align-items: center; gap: .4rem; overflow-wrap: anywhere; } .legend svg { width: 30px; flex: none; }
svg .faint { stroke-width: 1; opacity: .55; } svg [class^=bin] { fill: none; stroke-width: 1.8; stroke-linecap: round; }
.bin-0 { stroke: var(--b0); } .bin-1 { stroke: var(--b1); stroke-dasharray: 9 3; } .bin-2 { stroke: var(--b2); stroke-dasharray: 6 3; }
.bin-3 { stroke: var(--b3); } .bin-4 { stroke: var(--b4); stroke-dasharray: 9 3; } .bin-5 { stroke: var(--b5); stroke-dasharray: 6 3; }
.bin-6 { stroke: var(--b6); } .bin-7 { stroke: var(--b7); stroke-dasharray: 9 3; }
.bar-0 { fill: var(--s0); } .bar-1 { fill: var(--s1); } .bar-2 { fill: var(--s2); } .bar-3 { fill: var(--s3); } .bar-4 { fill: var(--s4); }
.bar-5 { fill: var(--s5); } .bar-paper { fill: var(--soft); opacity: .55; } svg text.strong { font-weight: 600; }
.band { fill: var(--s2); fill-opacity: .15; stroke: var(--s2); stroke-opacity: .5; stroke-dasharray: 3 3; }
.gap { fill: var(--stripe); stroke: var(--line); stroke-dasharray: 3 3; } .dot { fill: var(--text); } .save { stroke: var(--text); }
svg text.error { fill: var(--s1); font-weight: 600; }
details { margin: .2rem 0 .6rem; } summary { cursor: pointer; color: var(--soft); font-size: .875rem; padding: .15rem 0; }
pre { overflow: auto; max-height: 34rem; background: var(--stripe); padding: .8rem; font-size: .8125rem; line-height: 1.4; }
.grid img { display: block; height: auto; width: 100%; } .pixels { image-rendering: pixelated; }
.grids label { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .8rem; } .grids input { flex: 1; min-width: 12rem; max-width: 32rem; accent-color: var(--s0); }
.one figcaption { display: none; } .prompts { font-size: .875rem; } footer { margin-top: 3rem; }
@media (max-width: 640px) { .cards tr { grid-template-columns: 1fr; } .cards td { text-align: right; white-space: normal; }
  .cards td::before { flex: none; text-align: left; } .source td:last-child { min-width: 0; } }
@media print { h2, h3, figcaption { break-after: avoid; } .charts { grid-template-columns: 1fr 1fr; } .scroll { overflow: visible; } nav, .grids label { display: none; } a { color: inherit; } rect, svg { print-color-adjust: exact; } pre { max-height: none; white-space: pre-wrap; } }
)css";

// Shows one grid at a time, chosen by a slider. Without scripts all grids are shown in order.
inline constexpr std::string_view kPageScript = R"js(for (const box of document.querySelectorAll('.grids')) {
  const grids = [...box.children];
  if (grids.length < 2) continue;
  const label = document.createElement('label'), slider = document.createElement('input'), text = document.createElement('output');
  Object.assign(slider, {type: 'range', min: 0, max: grids.length - 1, step: 1});
  slider.setAttribute('aria-label', box.dataset.name);
  slider.value = grids.length - 1;
  const show = () => {
    grids.forEach((grid, i) => { grid.hidden = i != slider.value; });
    text.value = grids[slider.value].querySelector('figcaption').textContent;
    slider.setAttribute('aria-valuetext', text.value);
  };
  slider.addEventListener('input', show);
  label.append(slider, text);
  box.prepend(label);
  box.classList.add('one');
  show();
}
)js";

}  // namespace pixart::report
