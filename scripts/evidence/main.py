"""Measures the claims about cheaper training; `scripts/evidence.sh --help` says what and how."""

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import claims
import plot_compare
import stamps
import text
from mup import Mup
from runs import BadInput, Failed, Runner, STOPPED, die, write

PARTS = {"routing": text.Routing(), "muon": text.Muon(), "alignment": text.Alignment(), "stamps": stamps.Stamps(), "mup": Mup(),
         "time": text.Time()}
BLOCK = re.compile(r"(?<=<!-- evidence -->\n).*?(?=<!-- evidence -->)", re.S)


@dataclasses.dataclass
class Setup:
    seeds: list
    quick: bool
    out: pathlib.Path
    runner: Runner
    real: pathlib.Path | None
    teacher: pathlib.Path | None
    old: pathlib.Path | None


def arguments():
    parser = argparse.ArgumentParser(prog="evidence", add_help=False)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--quick", action="store_true")
    for name in ("--pixart", "--out", "--real", "--teacher", "--old", "--page"):
        parser.add_argument(name, type=pathlib.Path)
    parser.error = bad_argument
    return parser.parse_args()


def bad_argument(message):
    raise BadInput(f"{message}; see scripts/evidence.sh --help")


def checked(given):
    """(parts, setup); all that is wrong is said at once."""
    parts, problems = [part for part in given.parts.split(",") if part], []
    problems += [f"--parts: '{part}' is not one of {', '.join(PARTS)}" for part in parts if part not in PARTS]
    if not parts:
        problems.append("--parts names no part")
    if not re.fullmatch(r"\d+(,\d+)*", given.seeds):
        problems.append(f"--seeds takes numbers with commas between them; got '{given.seeds}'")
    if not re.fullmatch(r"[1-9]\d?", given.jobs):
        problems.append(f"--jobs takes a number from 1 on; got '{given.jobs}'")
    for name in ("pixart", "real", "teacher", "old", "page"):
        path = getattr(given, name)
        if path and not path.exists():
            problems.append(f"--{name}: {path} does not exist" if name != "pixart" else f"{path} does not exist: build pixart, or name it with PIXART_BIN")
    if given.page and given.page.is_file() and not BLOCK.search(given.page.read_text()):
        problems.append(f"--page: {given.page} has not two comments <!-- evidence -->")
    if "stamps" in parts and importlib.util.find_spec("numpy") is None:
        if given.parts == ",".join(PARTS):
            parts.remove("stamps")
        else:
            problems.append("the part stamps needs Python's numpy")
    if problems:
        raise BadInput("\nevidence: ".join(problems))
    out = given.out or pathlib.Path("runs/evidence-quick" if given.quick else "runs/evidence")
    seeds = list(dict.fromkeys(int(seed) for seed in given.seeds.split(",")))
    return parts, Setup(seeds, given.quick, out, Runner(given.pixart, out, int(given.jobs)), given.real, given.teacher, given.old and given.old.resolve())


def first_runs(setup, parts):
    """The autoencoders, which others read."""
    runs = [text.autoencoder(setup)] if set(parts) - {"stamps"} else []
    return runs + ([stamps.autoencoder(setup)] if "stamps" in parts and not setup.real else [])


def draw(setup, name, part):
    """The curves of a part that compares two sorts of runs."""
    if name == "mup":
        return
    pair = plot_compare.Pair(*part.names)
    if name == "stamps":
        curves = part.curves(setup)
        pair.title, pair.axis, pair.top = "Loss on held-out stamps", "loss, % of the linear predictor's", 200
    else:
        pair.leader_label, pair.baseline_label, pair.title = *part.labels, f"Text stage: {name}"
        curves = curves_of_pairs(setup, name, part)
    write(setup.out / f"curves-{name}.svg", plot_compare.draw(curves, pair))


def curves_of_pairs(setup, name, part):
    ours, theirs = (part.today(setup), part.then(setup)) if name == "time" else (part.ours(setup), text.plain(setup))
    result = {}
    for seed, *pair in zip(setup.seeds, setup.runner.results(ours), setup.runner.results(theirs)):
        result[f"seed {seed}"] = {label: {point["step"]: point for point in one["curve"]} for label, one in zip(part.names, pair)}
    return result


def measure(setup, parts):
    """[(part, Claim)] of all parts; what is finished is in the table after each of them."""
    setup.runner.expect(first_runs(setup, parts) + [run for part in parts for run in PARTS[part].runs(setup)])
    setup.runner.results(first_runs(setup, parts))
    found = []
    for name in parts:
        part = PARTS[name]
        setup.runner.results(part.runs(setup))
        found += [(name, claim) for claim in part.judge(setup)]
        draw(setup, name, part)
        save(setup, found)
    return found


def save(setup, found):
    """Claims of other parts, from earlier calls, stay in the table."""
    file = setup.out / "claims.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    for name in {name for name, _ in found}:
        known[name] = [dataclasses.asdict(claim) for part, claim in found if part == name]
    write(file, json.dumps(known, indent=1) + "\n")
    claims_now = [(name, claims.Claim(**claim)) for name in PARTS for claim in known.get(name, [])]
    missing = [(name, part.text) for name, part in PARTS.items() if name not in known]
    write(setup.out / "table.md", claims.table(claims_now, missing))


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        given = arguments()
        parts, setup = checked(given)
        found = measure(setup, parts)
    except KeyboardInterrupt:
        return die(Failed("stopped; the same command continues", STOPPED))
    except Failed as error:
        return die(error)
    table = (setup.out / "table.md").read_text()
    print(table, end="")
    print(f"evidence: {setup.out}/table.md, {setup.out}/curves-*.svg and {setup.out}/results have all of it")
    if given.page:
        write(given.page, BLOCK.sub(lambda _: table, given.page.read_text(), count=1))
    return 0 if all(claim.all_hold() and not claim.of_one_seed() for _, claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
