"""Runs the commands of README.md and of the guide in a folder with small stand-ins for the large weights, and checks
every run file that they show. What each block is for is said in the comment in front of it (tests/meta/guide_test.py).

Usage: guide_test.py SOURCE_DIR PIXART [PAGE.md ...]    (README.md and these pages only)
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")

# Trains one step of everything; its folders and checkpoints stand in for the published weights.
STAND_INS = f"""
run: stand-ins
autoencoder: {{block_out_channels: [8, 8, 8, 8], layers_per_block: 1, norm_num_groups: 4}}
text_encoder: {{d_model: 64, num_layers: 1, num_heads: 4, d_ff: 64}}
transformer: {{patch_size: 2, hidden_size: 96, depth: 2, num_heads: 2}}
sources:
  - {{name: fashion, type: idx, path: {FASHION}, max_samples: 16}}
  - {{name: mine, type: image_folder, path: my-images}}
stages:
  - {{name: autoencoder, objective: autoencoder, source: fashion, resolution: 64, steps: 1, batch_size: 4}}
  - {{name: class, objective: class_conditional, source: fashion, resolution: 64, steps: 1, batch_size: 4, samples: {{num_steps: 1}}}}
  - {{name: text, objective: text_conditional, source: mine, resolution: 64, steps: 1, batch_size: 4,
     init: {{how: reparameterize, from: class}}, samples: {{num_steps: 1}}}}
"""
PREPARE = """
pixart train stand-ins.yaml
ln -s stand-ins/autoencoder sd-vae-ft-ema
ln -s stand-ins/autoencoder sdxl-vae-fp16-fix
ln -s stand-ins/text_encoder t5-v1_1-xxl
pixart convert stand-ins/checkpoints/class/step-00000001/ema.safetensors DiT-XL-2-256x256.pt
pixart convert stand-ins/checkpoints/text/step-00000001/ema.safetensors PixArt-XL-2-256x256.pth
pixart convert DiT-XL-2-256x256.pt PixArt-XL-2-512x512.pth --reparameterize --caption-channels 64 --image-size 512
pixart convert DiT-XL-2-256x256.pt PixArt-Sigma-XL-2-256x256.pth --reparameterize --caption-channels 64 --max-tokens 300
"""
SMALLER_FILES = [
    ("preset: XL/2", "patch_size: 2, hidden_size: 96, depth: 2, num_heads: 2"),
    (r"resolution: \d+", "resolution: 64"),
    (r"\bsteps: \d+", "steps: 2"),
    (r"\bbatch_size: \d+", "batch_size: 8"),
    (r"micro_batch_size: \d+", "micro_batch_size: 4"),
    (r"\bdraw: \d+", "draw: 5"),
    (r"\bblocks: \d+", "blocks: 1"),
    (r"from: 2, to: 24", "from: 1, to: 2"),
    (r"until: \d+", "until: 1"),
]
SMALLER_COMMANDS = [
    (r"(--reparameterize.*)", r"\1 --caption-channels 64"),
    (r"launch -n 8", "launch -n 2"),
    (r"step-00002000", "step-00000002"),
    (r"--widths 48,96,192,384", "--widths 48,96"),
]
# What the commands are known to make, by page.
MADE = {
    "README.md": ["runs/mine/checkpoints/text/step-00000002/manifest.json", "init-256.safetensors",
                  "runs/stage2/checkpoints/text/step-00000002/manifest.json", "images/0003.png"],
    "data.md": ["stamps.html", "shards/pack.json", "runs/data/features/stamps-latents-32/manifest.json",
                "runs/data/features/fashion-captions/manifest.json", "runs/data/quarantine/stamps.jsonl",
                "runs/data/checkpoints/text/step-00000044/manifest.json"],
    "webdataset.md": ["packed/pack.json", "packed/my_images-000000.tar", "packed-mine/pack.json"],
    "sampling.md": ["samples/0001/grid.png", "birds/index.html", "again/0000.png", "cats/0000.png", "many/0005.png",
                    "bird-suite/hen.png", "both/live/hen.png"],
    "fine-tuning.md": ["styled.safetensors", "styled/grid.png"],
    "control.md": ["followed/grid.png", "half-followed/0000.png", "edges.pth", "runs/edges/features/mine-canny-100-200-64/manifest.json"],
    "dreambooth.md": ["class-images/drawn-00004.png", "my-dog/grid.png", "runs/dog/checkpoints/dreambooth/step-00000002/manifest.json"],
    "training.md": ["muP.svg", "muP.json", "standard.svg"],
    "fine-tuning.md": ["styled.safetensors", "styled/grid.png", "few/grid.png", "two/grid.png"],
    "weights.md": ["pixart-512-diffusers/config.json", "pixart-512-diffusers/README.md", "mine-256/README.md", "init-512.safetensors", "sigma-256/model_index.json"],
    "many-gpus.md": ["runs/eight/checkpoints/text/step-00000002/manifest.json"],
    "reports.md": ["runs/mine/report.html", "a-and-b.html", "tables/text.csv"],
}

source, pixart = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
problems = []


def blocks(page):
    """[(comment, language, text, text of the block after it)]"""
    found = re.findall(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [(*block, after[2]) for block, after in zip(found, found[1:] + [("", "", "")])]


def replaced(text, replacements):
    for pattern, new in replacements:
        text = re.sub(pattern, new, text)
    return text


def run(commands):
    """Returns what the commands print; None and a problem when one of them fails."""
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True)
    if result.returncode == 0:
        return result.stdout
    problems.append(f"exit code {result.returncode} of:\n{commands}{result.stdout}{result.stderr}")
    return None


def sections(text):
    """A run file as {top-level key: its lines}."""
    parts = re.split(r"^(?=\w+:)", text, flags=re.M)
    return {part.partition(":")[0]: part.rstrip("\n") + "\n" for part in parts if part.strip()}


@functools.cache
def help_of(command):
    return run(f"pixart {command} --help")


def check_options(page, text):
    """Of commands that are not run: that there are such options."""
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition(" #")[0].split()
        if words[:1] != ["pixart"]:
            continue
        command = words[1:3] if words[1] in ("data", "compbench", "study") else words[1:2]
        help_text = help_of(" ".join(command))
        for option in re.findall(r" (--[a-z-]+)", " ".join(words[1:])):
            if help_text and not re.search(rf"(^|[\s,]){option}\b", help_text):
                problems.append(f"{page.name}: pixart {' '.join(command)} has no option {option}")


def read_page(page, base):
    for note, language, text, after in blocks(page):
        if language == "yaml":
            name = note.removeprefix("file: ")
            whole = "".join({**base, **sections(text)}.values())
            pathlib.Path(name).write_text(whole)
            run(f"pixart train {name} --check --file-only")
            pathlib.Path(name).write_text(replaced(whole, SMALLER_FILES))
            base = base or sections(text)
        elif note.startswith("run"):
            printed = run(replaced(text, SMALLER_COMMANDS))
            if note != "run" and printed is not None and printed != after:
                problems.append(f"{page.name}: {text}prints:\n{printed}")
        elif language == "sh":
            check_options(page, text)
    for made in MADE.get(page.name, []):
        path = pathlib.Path(made)
        if not path.is_file() or path.stat().st_size == 0:
            problems.append(f"{page.name}: the commands did not make {made}")
    return base


def prepare():
    for needed in (STAMPS, FASHION):
        if not needed.is_dir():
            sys.exit(f"{needed} is missing: scripts/setup.sh installs it")
    for folder in ("bin", "my-images", "runs"):
        pathlib.Path(folder).mkdir()
    pathlib.Path("bin/pixart").symlink_to(pixart)
    pathlib.Path("configs").symlink_to(source / "configs")
    captioned = [image for image in sorted(STAMPS.rglob("*.png")) if image.with_suffix(".txt").is_file()]
    for image in captioned[:16]:
        shutil.copy(image, "my-images")
        shutil.copy(image.with_suffix(".txt"), "my-images")
    pathlib.Path("stand-ins.yaml").write_text(STAND_INS)
    os.environ["PATH"] = f"{os.getcwd()}/bin:{os.environ['PATH']}"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin starve the test that runs at the same time
    os.environ["XDG_CACHE_HOME"] = f"{os.getcwd()}/cache"
    run(PREPARE)
    for name in ("demo", "alpha", "a", "b"):
        pathlib.Path("runs", name).symlink_to("mine")


def check_table_of_commands():
    table = (source / "README.md").read_text()
    helped = run("pixart --help") or ""
    names = re.findall(r"^  ([a-z-]+)  +\S", helped.partition("Subcommands:")[2], re.M)
    for name in names or ["(none was found)"]:
        if not re.search(rf"^\|.*`{name}( \w+)?`.*\|", table, re.M):
            problems.append(f"README.md's table of commands lacks {name}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    prepare()
    check_table_of_commands()
    if not problems:
        mine = read_page(source / "README.md", {})
        for page in sorted((source / "tools/guide").glob("*.md")):
            if page.name != "README.md" and page.name in (sys.argv[3:] or [page.name]):
                read_page(page, mine)
    quarantined = pathlib.Path("runs/data/quarantine/stamps.jsonl")
    if quarantined.exists() and len(quarantined.read_text().splitlines()) != 11:
        problems.append("the quarantine should name 11 stamps")
    os.chdir("/")
print("\n".join(problems) or "all commands ran")
sys.exit(1 if problems else 0)
