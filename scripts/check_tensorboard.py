#!/usr/bin/env python3
"""Reads event files of pixart with the tensorboard package.

Usage: check_tensorboard.py PIXART_METRICS     (pip install tensorboard; run by hand)

PIXART_METRICS (cmake --build BUILD --target pixart_metrics) writes two stages of 100 steps each, like a run that was
killed after step 60 with step 40 saved, and started again. One byte is missing at the end of one stage's first file, as after a
crash. tensorboard's EventAccumulator must then list every tag, each step once, the restarted run's values after step 40, the
images with their size and bytes, and the texts."""
import pathlib
import subprocess
import sys
import tempfile

import tensorboard
from tensorboard.backend.event_processing import event_accumulator, tag_types
from tensorboard.util import tensor_util

STAGES, TORN, SAVED, LAST, EVERY = ("class", "text"), "class", 40, 100, 20
SCALARS = {"train/loss", "train/lr", "validation/loss", "validation/loss_t7", "machine/images_per_second"}


def expect(what, found, wanted):
    assert found == wanted, f"{what}: {found}, not {wanted}"


def loss_of(step):
    return (1.0 if step <= SAVED else 2.0) / step


def check_scalars(events, tags):
    expect("scalar tags", set(tags[tag_types.SCALARS]), SCALARS)
    losses = events.Scalars("train/loss")
    expect("steps", [event.step for event in losses], list(range(1, LAST + 1)))
    for event in losses:
        assert abs(event.value - loss_of(event.step)) < 1e-6, event
    expect("validation", [(event.step, event.value) for event in events.Scalars("validation/loss_t7")],
           [(20, 0.5), (40, 0.5), (60, 1.0), (80, 1.0), (100, 1.0)])


def check_images(events, tags, run, stage):
    expect("image tags", tags[tag_types.IMAGES], ["samples"])
    images = events.Images("samples")
    expect("image steps", [image.step for image in images], list(range(EVERY, LAST + 1, EVERY)))
    for image in images:
        expect("size", (image.width, image.height), (48, 24))
        expect("bytes", image.encoded_image_string, (run / "samples" / stage / f"{image.step}.png").read_bytes())


def check_texts(events, tags):
    expect("tensor tags", tags[tag_types.TENSORS], ["run.yaml"])
    expect("plugin", events.SummaryMetadata("run.yaml").plugin_data.plugin_name, "text")
    texts = events.Tensors("run.yaml")
    expect("text steps", [text.step for text in texts], [0, SAVED])
    for text in texts:
        expect("text", tensor_util.make_ndarray(text.tensor_proto).tolist(), [b"    seed: 1"])


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        run = pathlib.Path(temporary)
        subprocess.run([pathlib.Path(sys.argv[1]).resolve(), run], check=True)
        for stage in STAGES:
            files = sorted((run / "tensorboard" / stage).iterdir())
            expect("files", len(files), 2)
            if stage == TORN:
                files[0].write_bytes(files[0].read_bytes()[:-1])
            everything = {kind: 0 for kind in (tag_types.SCALARS, tag_types.IMAGES, tag_types.TENSORS)}
            events = event_accumulator.EventAccumulator(str(run / "tensorboard" / stage), size_guidance=everything)
            events.Reload()
            tags = events.Tags()
            check_scalars(events, tags)
            check_images(events, tags, run, stage)
            check_texts(events, tags)
            print(f"tensorboard {tensorboard.__version__}, run {stage}: {len(tags[tag_types.SCALARS])} scalar tags, "
                  f"{len(events.Scalars('train/loss'))} steps, {len(events.Images('samples'))} images, "
                  f"{len(events.Tensors('run.yaml'))} texts: all as written, without the lost steps")


if __name__ == "__main__":
    main()
