"""Draws how fast two text stages learn, a curve per seed and the mean; by default a start from the re-parameterised model
and one from scratch.

Reads <run>/curve.json of each run folder, as `pixart demo score RUN --curve` writes it. A folder with a run folder for each of
the two, named as they are, is taken for a run with two stages. Writes one SVG that follows the reader's light or dark theme,
and prints the lead at the last step for each seed. The exit code is 1 if a lead is smaller than the margin, or with
--not-below if the mean of the leads is below zero by more than its standard error; 78 if a file cannot be used. Python's
standard library only.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

METRIC, HELD_OUT = "all", "all_heldout"


@dataclasses.dataclass
class Pair:
    """The two stages, or run folders, that are compared."""
    leader: str = "reparameterized"
    baseline: str = "scratch"
    leader_label: str = "re-parameterised from the class-conditional model"
    baseline_label: str = "from scratch"
    title: str = "Text stage: re-parameterised start and from scratch"
    axis: str = "images that match their caption, %"
    top: float = 100  # of the axis

    @property
    def names(self):
        return self.leader, self.baseline

    @property
    def labels(self):
        return {self.leader: self.leader_label, self.baseline: self.baseline_label}


WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 730, 60, 380

STYLE = """
  svg { --ink: #1f2328; --soft: #6a737d; --grid: #d8dee4; --paper: #ffffff; --leader: #0a66c2; --baseline: #c2571a; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9aa4af; --grid: #30363d; --paper: #0d1117; --leader: #58a6ff; --baseline: #f0883e; }
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
  .leader { stroke: var(--leader); }
  .baseline { stroke: var(--baseline); }
  .dot.leader { fill: var(--leader); }
  .dot.baseline { fill: var(--baseline); }
"""


class BadInput(Exception):
    """Something that the user can mend."""


def read_stages(run):
    """Returns {stage: {step: point}} of a run folder."""
    path = run / "curve.json"
    try:
        stages = json.loads(path.read_text())["stages"]
        curves = {name: {int(point["step"]): point for point in points} for name, points in stages.items()}
        complete = all(METRIC in point for curve in curves.values() for point in curve.values())
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); write it with: pixart demo score {run} --curve") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is not a file of `pixart demo score --curve`: {error!r}") from error
    if not complete:
        raise BadInput(f"{path}: a point has no value '{METRIC}'.")
    return curves


def read_curves(run, pair):
    """Returns {name: {step: point}} of both names: stages of the run, or the only stages of two runs in this folder."""
    if all((run / name).is_dir() for name in pair.names):
        curves = {name: read_stages(run / name) for name in pair.names}
        for name, stages in curves.items():
            if len(stages) != 1:
                raise BadInput(f"{run / name}: expected one text stage, not {len(stages)}.")
        curves = {name: next(iter(stages.values())) for name, stages in curves.items()}
    else:
        curves = read_stages(run)
    for name in pair.names:
        if name not in curves:
            raise BadInput(f"{run}: the stage {name} has no scores.")
    if not set(curves[pair.leader]) & set(curves[pair.baseline]):
        raise BadInput(f"{run}: {pair.leader} and {pair.baseline} have no scored step in common.")
    return curves


def mean_curve(curves):
    """[{step: value}] -> {step: mean}, at the steps that all have."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {step: sum(curve[step] for curve in curves) / len(curves) for step in steps}


def lead_at_last_step(curves, metric, pair):
    """(step, leader's value, baseline's value) at the last step that both have; None if it was not scored."""
    step = max(set(curves[pair.leader]) & set(curves[pair.baseline]))
    values = [curves[name][step].get(metric) for name in pair.names]
    return None if None in values else (step, *values)


class Plot:
    """Collects SVG elements; positions are given in steps and percent."""

    def __init__(self, last_step, pair):
        self.last_step = last_step
        self.pair = pair
        self.elements = []

    def x(self, step):
        return LEFT + (RIGHT - LEFT) * step / self.last_step

    def y(self, value):
        return BOTTOM - (BOTTOM - TOP) * value / self.pair.top

    def add(self, element):
        self.elements.append("  " + element)

    def text(self, x, y, text, anchor="start", css="", more=""):
        self.add(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{css}"{more}>{escape(text)}</text>')

    def axes(self, steps):
        self.add(f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>')
        for value in (self.pair.top * i / 5 for i in range(6)):
            y = self.y(value)
            self.add(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:g}" y2="{y:g}"/>')
            self.text(LEFT - 8, y + 4, f"{value:g}", "end", "tick")
        self.add(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
        for step in [0, *steps[:: max(1, len(steps) // 8)]]:
            self.text(self.x(step), BOTTOM + 18, str(step), "middle", "tick")
        self.text((LEFT + RIGHT) / 2, BOTTOM + 42, "training steps of the text stage", "middle")
        middle = (TOP + BOTTOM) / 2
        self.text(24, middle, self.pair.axis, "middle", more=f' transform="rotate(-90 24 {middle:g})"')

    def style(self, name):
        return "leader" if name == self.pair.leader else "baseline"

    def curve(self, name, values, kind, title):
        points = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in sorted(values.items()))
        self.add(f'<polyline class="line {kind} {self.style(name)}" points="{points}"><title>{escape(title)}</title></polyline>')
        if kind == "mean":
            for step, value in values.items():
                self.add(f'<circle class="dot {self.style(name)}" cx="{self.x(step):.1f}" cy="{self.y(value):.1f}" r="4">'
                         f"<title>{escape(title)}, step {step}: {value:.1f} %</title></circle>")

    def legend(self, num_seeds):
        self.text(LEFT, 22, self.pair.title, css="title")
        x = LEFT
        for name in self.pair.names:
            self.add(f'<line class="mean {self.style(name)}" x1="{x}" x2="{x + 24}" y1="40" y2="40"/>')
            self.text(x + 32, 44, self.pair.labels[name])
            x += 372
        self.text(RIGHT, 22, f"thick: mean of {num_seeds}; thin: one seed", "end", "tick")

    def svg(self):
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                          f'height="{HEIGHT}" role="img" aria-label="Learning curves">',
                          f"  <style>{STYLE}  </style>", *self.elements, "</svg>", ""])


def draw(runs, pair):
    """{label: curves} -> SVG text."""
    steps = sorted({step for curves in runs.values() for name in pair.names for step in curves[name]})
    plot = Plot(last_step=max(steps[-1], 1), pair=pair)
    plot.axes([step for step in steps if step > 0])
    plot.legend(len(runs))
    for name in (pair.baseline, pair.leader):
        values = {label: {step: point[METRIC] for step, point in curves[name].items()} for label, curves in runs.items()}
        for label, curve in values.items():
            plot.curve(name, curve, "seed", f"{pair.labels[name]}, {label}")
        plot.curve(name, mean_curve(list(values.values())), "mean", f"{pair.labels[name]}, mean")
    return plot.svg()


def print_table(runs, pair, margin):
    """Prints the lead of each run; returns whether every one reaches the margin (None: any lead does)."""
    wide = [max(9, len(name) + 2) for name in pair.names]
    print(f"{'run':12}{'step':>6}{pair.leader:>{wide[0]}}{pair.baseline:>{wide[1]}}{'lead':>7}   held-out pairs")
    enough = True
    for label, curves in runs.items():
        step, ours, theirs = lead_at_last_step(curves, METRIC, pair)
        held_out = lead_at_last_step(curves, HELD_OUT, pair)
        more = f"{held_out[1]:.1f} - {held_out[2]:.1f} = {held_out[1] - held_out[2]:+.1f}" if held_out else "-"
        ahead = margin is None or ours - theirs >= margin
        enough = enough and ahead
        if not ahead:
            more += f"   below {margin:g}"
        print(f"{label:12}{step:6}{ours:{wide[0]}.1f}{theirs:{wide[1]}.1f}{ours - theirs:+7.1f}   {more}")
    return enough


def mean_and_error(values):
    """The mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def print_means(runs, pair):
    """Prints means and standard errors over the runs; returns whether the mean lead is not below zero by more than its error."""
    points = [lead_at_last_step(curves, METRIC, pair)[1:] for curves in runs.values()]
    columns = {pair.leader: [ours for ours, _ in points], pair.baseline: [theirs for _, theirs in points],
               "lead": [ours - theirs for ours, theirs in points]}
    for name, values in columns.items():
        mean, error = mean_and_error(values)
        print(f"{name}: mean {mean:.1f}, standard error {error:.1f} ({len(values)} seeds)")
    mean, error = mean_and_error(columns["lead"])
    enough = mean >= -error
    print(f"{pair.leader} is {'not ' if enough else ''}below {pair.baseline} by more than the standard error of the lead")
    return enough


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    usual = Pair()
    parser.add_argument("runs", nargs="+", type=pathlib.Path, help="run folders with a curve.json")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the SVG file to write")
    parser.add_argument("--margin", type=float, default=15, help="points by which each run must lead (default: 15)")
    parser.add_argument("--not-below", action="store_true", help="in place of a margin: the mean lead may be below zero by its standard error")
    parser.add_argument("--leader", default=usual.leader, help="name of a stage, or of a run folder in each of the folders")
    parser.add_argument("--baseline", default=usual.baseline, help="the other one")
    parser.add_argument("--leader-label", default=usual.leader_label, help="its words in the legend")
    parser.add_argument("--baseline-label", default=usual.baseline_label, help="the other's words")
    parser.add_argument("--title", default=usual.title, help="title of the figure")
    arguments = parser.parse_args()
    pair = Pair(arguments.leader, arguments.baseline, arguments.leader_label, arguments.baseline_label, arguments.title)
    try:
        runs = {run.name: read_curves(run, pair) for run in arguments.runs}
        if len(runs) != len(arguments.runs):
            raise BadInput("two run folders have the same name, but the table needs different names.")
        if arguments.not_below and len(runs) < 2:
            raise BadInput("--not-below needs two seeds or more: one seed has no standard error.")
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(draw(runs, pair))
    except BadInput as error:
        print(f"plot_compare: {error}", file=sys.stderr)
        return 78
    enough = print_table(runs, pair, None if arguments.not_below else arguments.margin)
    if arguments.not_below:
        enough = print_means(runs, pair)
    print(f"curves: {arguments.out}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
