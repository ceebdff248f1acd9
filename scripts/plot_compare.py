"""Draws how fast the text stage learns from the re-parameterised model and from scratch: a curve per seed and the mean.

Reads <run>/curve.json of each run folder, as `pixart demo score RUN --curve` writes it; writes one SVG that follows the
reader's light or dark theme, and prints the lead at the last step for each seed. The exit code is 1 if a lead is smaller
than the margin, 78 if a file cannot be used. Python's standard library only.
"""

import argparse
import json
import pathlib
import sys
from xml.sax.saxutils import escape

LEADER, BASELINE = "reparameterized", "scratch"
LABELS = {LEADER: "re-parameterised from the class-conditional model", BASELINE: "from scratch"}
METRIC, HELD_OUT = "all", "all_heldout"

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 730, 60, 380

STYLE = """
  svg { --ink: #1f2328; --soft: #6a737d; --grid: #d8dee4; --paper: #ffffff; --reparameterized: #0a66c2; --scratch: #c2571a; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9aa4af; --grid: #30363d; --paper: #0d1117; --reparameterized: #58a6ff; --scratch: #f0883e; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  .tick { font-size: 12px; fill: var(--soft); }
  .paper { fill: var(--paper); }
  .grid { stroke: var(--grid); stroke-width: 1; }
  .axis { stroke: var(--soft); stroke-width: 1; }
  .line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
  .seed { stroke-width: 1; opacity: 0.45; }
  .mean { stroke-width: 3; }
  .reparameterized { stroke: var(--reparameterized); }
  .scratch { stroke: var(--scratch); }
  .dot.reparameterized { fill: var(--reparameterized); }
  .dot.scratch { fill: var(--scratch); }
"""


class BadInput(Exception):
    """Something that the user can mend."""


def read_curves(run):
    """Returns {stage: {step: point}} of a run folder."""
    path = run / "curve.json"
    try:
        stages = json.loads(path.read_text())["stages"]
        curves = {name: {int(point["step"]): point for point in stages[name]} for name in (LEADER, BASELINE)}
        complete = all(METRIC in point for curve in curves.values() for point in curve.values())
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); write it with: pixart demo score {run} --curve") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not a file of `pixart demo score --curve`: {error!r}") from error
    if not complete or not set(curves[LEADER]) & set(curves[BASELINE]):
        raise BadInput(f"{path}: the stages {LEADER} and {BASELINE} have no scored step in common.")
    return curves


def mean_curve(curves):
    """[{step: value}] -> {step: mean}, at the steps that all have."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {step: sum(curve[step] for curve in curves) / len(curves) for step in steps}


def lead_at_last_step(curves, metric):
    """(step, leader's value, baseline's value) at the last step that both have; None if it was not scored."""
    step = max(set(curves[LEADER]) & set(curves[BASELINE]))
    values = [curves[name][step].get(metric) for name in (LEADER, BASELINE)]
    return None if None in values else (step, *values)


class Plot:
    """Collects SVG elements; positions are given in steps and percent."""

    def __init__(self, last_step):
        self.last_step = last_step
        self.elements = []

    def x(self, step):
        return LEFT + (RIGHT - LEFT) * step / self.last_step

    @staticmethod
    def y(percent):
        return BOTTOM - (BOTTOM - TOP) * percent / 100

    def add(self, element):
        self.elements.append("  " + element)

    def text(self, x, y, text, anchor="start", css="", more=""):
        self.add(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{css}"{more}>{escape(text)}</text>')

    def axes(self, steps):
        self.add(f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>')
        for percent in range(0, 101, 20):
            y = self.y(percent)
            self.add(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:g}" y2="{y:g}"/>')
            self.text(LEFT - 8, y + 4, str(percent), "end", "tick")
        self.add(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
        for step in [0, *steps[:: max(1, len(steps) // 8)]]:
            self.text(self.x(step), BOTTOM + 18, str(step), "middle", "tick")
        self.text((LEFT + RIGHT) / 2, BOTTOM + 42, "training steps of the text stage", "middle")
        middle = (TOP + BOTTOM) / 2
        self.text(24, middle, "images that match their caption, %", "middle", more=f' transform="rotate(-90 24 {middle:g})"')

    def curve(self, name, values, kind, title):
        points = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in sorted(values.items()))
        self.add(f'<polyline class="line {kind} {name}" points="{points}"><title>{escape(title)}</title></polyline>')
        if kind == "mean":
            for step, value in values.items():
                self.add(f'<circle class="dot {name}" cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="4">'
                         f"<title>{escape(title)}, step {step}: {value:.1f} %</title></circle>")

    def legend(self, num_seeds):
        self.text(LEFT, 22, "Text stage: re-parameterised start and from scratch", css="title")
        x = LEFT
        for name in (LEADER, BASELINE):
            self.add(f'<line class="mean {name}" x1="{x}" x2="{x + 24}" y1="40" y2="40"/>')
            self.text(x + 32, 44, LABELS[name])
            x += 372
        self.text(RIGHT, 22, f"thick: mean of {num_seeds}; thin: one seed", "end", "tick")

    def svg(self):
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                          f'height="{HEIGHT}" role="img" aria-label="Learning curves">',
                          f"  <style>{STYLE}  </style>", *self.elements, "</svg>", ""])


def draw(runs):
    """{label: curves} -> SVG text."""
    steps = sorted({step for curves in runs.values() for name in (LEADER, BASELINE) for step in curves[name]})
    plot = Plot(last_step=max(steps[-1], 1))
    plot.axes([step for step in steps if step > 0])
    plot.legend(len(runs))
    for name in (BASELINE, LEADER):
        values = {label: {step: point[METRIC] for step, point in curves[name].items()} for label, curves in runs.items()}
        for label, curve in values.items():
            plot.curve(name, curve, "seed", f"{LABELS[name]}, {label}")
        plot.curve(name, mean_curve(list(values.values())), "mean", f"{LABELS[name]}, mean")
    return plot.svg()


def print_table(runs, margin):
    """Prints the lead of each run; returns whether every one reaches the margin."""
    print(f"{'run':12}{'step':>6}{'re-param.':>11}{'scratch':>9}{'lead':>7}   held-out pairs")
    enough = True
    for label, curves in runs.items():
        step, ours, theirs = lead_at_last_step(curves, METRIC)
        held_out = lead_at_last_step(curves, HELD_OUT)
        more = f"{held_out[1]:.1f} - {held_out[2]:.1f} = {held_out[1] - held_out[2]:+.1f}" if held_out else "-"
        ahead = ours - theirs >= margin
        enough = enough and ahead
        print(f"{label:12}{step:6}{ours:11.1f}{theirs:9.1f}{ours - theirs:+7.1f}   {more}" + ("" if ahead else f"   below {margin:g}"))
    return enough


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path, help="run folders with a curve.json")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the SVG file to write")
    parser.add_argument("--margin", type=float, default=15, help="points by which each run must lead (default: 15)")
    arguments = parser.parse_args()
    try:
        runs = {run.name: read_curves(run) for run in arguments.runs}
        if len(runs) != len(arguments.runs):
            raise BadInput("two run folders have the same name, but the table needs different names.")
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(draw(runs))
    except BadInput as error:
        print(f"plot_compare: {error}", file=sys.stderr)
        return 78
    enough = print_table(runs, arguments.margin)
    print(f"curves: {arguments.out}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
