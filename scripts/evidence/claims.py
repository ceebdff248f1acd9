"""What a claim says when it is measured: values of each seed, their mean and standard error, and whether it holds."""

import dataclasses
import statistics

NO_SEED = "all"  # in place of a seed, where a value is not of one

@dataclasses.dataclass
class Claim:
    text: str
    unit: str                     # what the values are
    values: dict                  # seed -> value, or None where it has none (the score was not reached)
    holds: dict                   # seed -> whether it holds there
    of_mean: bool | None = None   # whether the mean holds; None: each seed has to
    notes: list = dataclasses.field(default_factory=list)

    def all_hold(self):
        return all(self.holds.values()) if self.of_mean is None else self.of_mean

    def of_one_seed(self):
        return len(self.values) == 1 and NO_SEED not in self.values

    def word(self):
        word = "yes" if self.all_hold() else "no"
        if NO_SEED in self.values:
            return f"**{word}**"
        each = ", ".join(f"seed {seed}: {'yes' if holds else 'no'}" for seed, holds in self.holds.items())
        return f"one seed only: {word}" if self.of_one_seed() else f"**{word}** ({each})"

    def measured(self):
        known = [value for value in self.values.values() if value is not None]
        each = ", ".join("not reached" if value is None else f"{value:.2f}" for value in self.values.values())
        if len(known) < len(self.values) or len(known) < 2:
            return f"{self.unit}: {each}"
        mean, error = mean_and_error(known)
        return f"{self.unit}: {mean:.2f}, standard error {error:.2f} ({each})"


def mean_and_error(values):
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def steps_to(curve, score, key="all"):
    """The step at which a curve of `pixart demo score --curve` first reaches `score`: on a line between two checkpoints."""
    before = {"step": 0, key: 0.0}
    for point in sorted(curve, key=lambda point: point["step"]):
        if point[key] >= score:
            share = (score - before[key]) / (point[key] - before[key]) if point[key] > before[key] else 1
            return before["step"] + share * (point["step"] - before["step"])
        before = point
    return None


def ratio(ours, theirs):
    return None if ours is None or theirs is None else ours / theirs


def judge_ratio(text, unit, values, most):
    """Holds for a seed if its ratio is at most `most`, and in all if the mean is, and the mean with its error is below 1."""
    holds = {seed: value is not None and value <= most for seed, value in values.items()}
    known = [value for value in values.values() if value is not None]
    of_mean = None
    if len(known) == len(values) >= 2:
        mean, error = mean_and_error(known)
        of_mean = mean <= most and mean + error < 1
    return Claim(text, unit, values, holds, of_mean)


def table(claims, missing):
    """Markdown; `claims`: [(part, Claim)], `missing`: parts that were not run."""
    lines = ["| part | claim | measured | holds |", "|---|---|---|---|"]
    for part, claim in claims:
        lines.append(f"| {part} | {claim.text} | {claim.measured()} | {claim.word()} |")
        lines += [f"| | | {note} | |" for note in claim.notes]
    lines += [f"| {part} | {text} | not run yet: `scripts/evidence.sh --parts {part}` | |" for part, text in missing]
    return "\n".join(lines) + "\n"
