#!/usr/bin/env python3
"""Compares a full-size BLIP-VQA model with transformers' BlipForQuestionAnswering: the probability of yes of each question.

Usage: check_blip.py BINARIES VOCABULARY [--images 2] [--work FOLDER] [--layouts own,hugging-face]
       (pip install transformers==5.24.0 "pillow<13"; run by hand, some minutes and 6 GB of memory)

    scripts/build.sh release pixart_vqa
    python3 scripts/check_blip.py build/release/bin bert-base-uncased

VOCABULARY: a folder with vocab.txt of bert-base-uncased. The weights (ViT-B/16 at 480 x 480 pixels, two times 12 layers of BERT, 361 million values) are
random numbers by the name of each tensor. The layouts: a .pth with BLIP's own names, whose norms have an epsilon of 1e-6; and a folder of transformers with 1e-5.

Answers must agree within 1e-4. The last line is a summary in JSON; the script ends with 1 if one does not.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import torch
from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/generate"))
from blip import normalized, own_name
from formula_inception import image

SIDE, LIMIT, TOLERANCE = 480, 35, 1e-4
QUESTIONS = ["a red dog?", "two green suitcases?", "Is there a rectangular wooden table near the window?", "the blue, metallic bowl of (fruit)?"]
SIZES = [(512, 512), (300, 701), (777, 640), (64, 99)]


def full_model(eps):
    config = BlipConfig(text_config={"vocab_size": 30524, "num_attention_heads": 12}, vision_config={"image_size": SIDE, "layer_norm_eps": eps})
    model = BlipForQuestionAnswering(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
            if "norm" in name.lower() and name.endswith("weight"):
                p.copy_(1 + 0.1 * noise)
            elif p.dim() < 2:
                p.copy_(0.1 * noise)
            elif "embedding" in name and "patch" not in name:
                p.copy_(0.05 * noise)
            else:
                p.copy_(noise * (1.5 if "att" in name else 1.0) * p[0].numel() ** -0.5)
    return model


def reference(model, tokenizer, asked):
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    assert (yes, no) == (2748, 2053)
    states, answers = {}, []
    with torch.no_grad():
        for file, question in asked:
            if file not in states:
                states[file] = model.vision_model(normalized(Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC))[None]).last_hidden_state
            text = "".join(c for c in question.lower() if c not in '.!"()*#:;~').rstrip(" ")
            tokens = tokenizer([text], truncation=True, max_length=LIMIT, return_tensors="pt")
            ids = tokens.input_ids.clone()
            ids[:, 0] = 30523
            read = model.text_encoder(ids, attention_mask=tokens.attention_mask, encoder_hidden_states=states[file]).last_hidden_state
            logits = model.text_decoder(torch.full((1, 1), 30522), encoder_hidden_states=read, encoder_attention_mask=tokens.attention_mask).logits[0, 0].double()
            answers.append(torch.sigmoid(logits[yes] - logits[no]).item())
    return answers


def stored(model, layout, vocabulary, work):
    folder = work / layout
    folder.mkdir(exist_ok=True)
    shutil.copy(vocabulary / "vocab.txt", folder)
    if layout == "hugging-face":
        model.save_pretrained(folder)
        return folder
    torch.save({"model": {own_name(name): value for name, value in model.state_dict().items()}}, folder / "model_base_vqa_capfilt_large.pth")
    return folder / "model_base_vqa_capfilt_large.pth"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("vocabulary", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=2, choices=range(1, len(SIZES) + 1))
    parser.add_argument("--layouts", default="own,hugging-face")
    parser.add_argument("--work", type=pathlib.Path)
    arguments = parser.parse_args()
    tokenizer = BertTokenizer(str(arguments.vocabulary / "vocab.txt"))
    summary = {"questions": 0, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or pathlib.Path(temporary)
        work.mkdir(exist_ok=True)
        for i, size in enumerate(SIZES[: arguments.images]):
            Image.fromarray(np.asarray(image(f"blip{i}", *size))).save(work / f"{i}.png")
        asked = [(str(work / f"{i}.png"), question) for i in range(arguments.images) for question in QUESTIONS]
        for layout in arguments.layouts.split(","):
            model = full_model(1e-6 if layout == "own" else 1e-5)
            want = reference(model, tokenizer, asked)
            path = stored(model, layout, arguments.vocabulary, work)
            del model
            lines = "".join(json.dumps({"image": file, "question": question}) + "\n" for file, question in asked)
            result = subprocess.run([arguments.binaries.resolve() / "pixart_vqa", path], input=lines, capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"pixart_vqa: {result.stderr}")
            got = [float(line) for line in result.stdout.split()]
            assert len(got) == len(want)
            summary[layout] = max(abs(a - b) for a, b in zip(got, want))
            summary["questions"] += len(got)
            print(f"{'ok    ' if summary[layout] <= TOLERANCE else 'WRONG '} {layout}: largest difference {summary[layout]:.1e}, answers {min(want):.4f} to {max(want):.4f}", flush=True)
    print(json.dumps(summary))
    return not all(summary[layout] <= TOLERANCE for layout in arguments.layouts.split(","))


if __name__ == "__main__":
    sys.exit(main())
