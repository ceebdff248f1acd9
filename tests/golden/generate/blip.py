"""Golden cases of kinds blip_vqa, image_reward, hpsv2_pixels and bert_tokenizer: tiny BLIP models of transformers and with BLIP's own names, their answers and
rewards of images by a formula, the pixels that HPSv2's package sees, and BERT's ids of awkward strings.

Made with transformers 5.24.0, torch 2.11.0, pillow 12.3.0 (13.0.0 resizes in another way in some shapes: findings/README.md), numpy 2.4.6.
Run:  python blip.py OUT [--seed N]
"""
import argparse
import json
import pathlib

import numpy as np
import torch
import transformers
from case_io import fresh_folder, provenance, write_case
from formula_inception import image
from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

PACKAGES = ("transformers", "torch", "pillow", "numpy")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDE, PATCH, LIMIT = 24, 8, 35
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e ##a ##b ##c ##d ##s red blue dog dogs cat ##ing the on is run ##n ##ning big ##ger ? ! , . ' - yes no cafe \u4e00 \u00df i s t it".split()
STRINGS = [
    "a red dog?", "A RED DOG?", "", " ", "running bigger dogs", "it's a dog's", "caf\u00e9", "cafe\u0301", "\u0130t", "\u00df \u1e9e", "\u4e00\u4e00a", "a\u4e00b", "[SEP] a [MASK]b[CLS]", "[sep]", "a\tb\nc\r\nd", "a\u00a0b\u3000c",
    "a\u200bb", "a\x00b\x07c", "\ufffd", "don't-run", "a" * 100, "a" * 101, "a " * 40, "a,b.c!d?", "\u2014a\u2014", "$a+b", "\ud55c\uad6d", "\U0001f600", "zebra", "dogz", "a\u0345b",
]
QUESTIONS = [("odd", 53, 98, "a red dog?"), ("odd", 53, 98, "The cat is running on the big blue dog?"), ("tall", 131, 64, "a cat?"), ("same", 24, 24, "A blue (cat)."), ("down", 130, 171, "a b c d e " * 9 + "?"),
             ("odd", 53, 98, "a big dog?")]


def fill(model, seed):
    """Weights that make every part matter, and that float16 holds exactly."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=g)
            if "norm" in name.lower() and name.endswith("weight"):
                value = 1 + 0.3 * noise
            elif p.dim() < 2:
                value = 0.3 * noise
            elif "embedding" in name and "patch" not in name:
                value = 0.2 * noise
            else:
                value = noise * (1.4 if "att" in name else 1.0) * p[0].numel() ** -0.5
            p.copy_(value.half().float())


def tiny_config(width, heads, layers, eps, other=None):
    shared = dict(hidden_size=width, num_attention_heads=heads, num_hidden_layers=layers, intermediate_size=width // 2, hidden_act="gelu")
    vision = {**shared, "hidden_size": other or width, "num_attention_heads": heads * (other or width) // width, "image_size": SIDE, "patch_size": PATCH, "layer_norm_eps": eps}
    text = {**shared, "vocab_size": len(WORDS) + 2, "max_position_embeddings": 40, "bos_token_id": len(WORDS), "sep_token_id": 3, "layer_norm_eps": 1e-12}
    return BlipConfig(text_config=text, vision_config=vision)


def write_vocabulary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return BertTokenizer.from_pretrained(folder)


def own_name(name):
    """BLIP's own name of a tensor of transformers."""
    if not name.startswith("vision_model."):
        return name
    for theirs, own in (("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"), ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
                        ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"), ("vision_model.post_layernorm", "visual_encoder.norm"), ("vision_model.encoder.layers", "visual_encoder.blocks"),
                        (".self_attn.qkv", ".attn.qkv"), (".self_attn.projection", ".attn.proj"), (".layer_norm", ".norm")):
        name = name.replace(theirs, own)
    return name


def own_state(model):
    state = {own_name(name): value.half() for name, value in model.state_dict().items()}
    return state | {f"{part}.embeddings.position_ids": torch.arange(40)[None] for part in ("text_encoder", "text_decoder.bert") if f"{part}.embeddings.word_embeddings.weight" in state}


def normalized(pixels):
    return (torch.from_numpy(np.asarray(pixels).copy()).permute(2, 0, 1).float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def squashed(name, height, width):
    return normalized(Image.fromarray(image(name, height, width)).resize((SIDE, SIDE), Image.BICUBIC))


def answers(model, tokenizer):
    """p(yes) / (p(yes) + p(no)) of each question, as T2I-CompBench computes it of BLIP."""
    result = []
    for name, height, width, question in QUESTIONS:
        text = "".join(c for c in question.lower() if c not in '.!"()*#:;~').rstrip(" ")
        tokens = tokenizer([text], truncation=True, max_length=LIMIT, return_tensors="pt")
        ids = tokens.input_ids.clone()
        ids[:, 0] = len(WORDS) + 1  # [ENC]
        pixels = squashed(name, height, width)[None].to(next(model.parameters()).dtype)
        start = torch.full((1, 1), len(WORDS))  # [DEC]
        with torch.no_grad():
            states = model.vision_model(pixels).last_hidden_state
            asked = model.text_encoder(ids, attention_mask=tokens.attention_mask, encoder_hidden_states=states).last_hidden_state
            logits = model.text_decoder(start, encoder_hidden_states=asked, encoder_attention_mask=tokens.attention_mask).logits[:, 0]
        p = logits.softmax(1)[0]
        yes, no = WORDS.index("yes"), WORDS.index("no")
        result.append((p[yes] / (p[yes] + p[no])).item())
    return result


def forward(model, seed):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, SIDE, SIDE, generator=g)
    ids = torch.randint(5, len(WORDS), (3, 9), generator=g)
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7])
    given = torch.randint(5, len(WORDS), (3, 4), generator=g)

    def run(model):
        with torch.no_grad():
            states = model.vision_model(images.to(next(model.parameters()).dtype)).last_hidden_state
            texts = model.text_encoder(ids, attention_mask=mask, encoder_hidden_states=states).last_hidden_state
            # transformers 5.24.0 passes over the mask of a cross-attention, which BLIP's own code applies: without padding both agree.
            logits = [model.text_decoder(given[i : i + 1], encoder_hidden_states=texts[i : i + 1, : int(mask[i].sum())]).logits for i in range(3)]
            return {"out.image_states": states, "out.text_states": texts * mask[:, :, None], "out.logits": torch.cat(logits)}

    outputs = run(model)
    torch.set_default_dtype(torch.float64)
    exact = run(model.double())
    torch.set_default_dtype(torch.float32)
    model.float()
    error = {name: (outputs[name].double() - value).abs().max().item() for name, value in exact.items()}
    assert max(error.values()) < 1e-5, error
    return {"in.images": images, "in.ids": ids, "in.mask": mask, "in.answers": given, **outputs}, {name: float(f"{value:.1e}") for name, value in error.items()}


def make_vqa(root, case, seed, config, is_own, why):
    folder = fresh_folder(root, "blip_vqa", case)
    tokenizer = write_vocabulary(folder / "model")
    model = BlipForQuestionAnswering(config).eval()
    model.tie_weights()
    fill(model, seed)
    if is_own:
        torch.save({"model": own_state(model), "epoch": 3}, folder / "model" / "model_vqa.pth")
    else:
        model.half().save_pretrained(folder / "model")
        model.float()
        (folder / "model" / "generation_config.json").unlink(missing_ok=True)
    tensors, measured = forward(model, seed + 1)
    asked = [{"image": [name, height, width], "question": question, "yes": yes} for (name, height, width, question), yes in zip(QUESTIONS, answers(model, tokenizer))]
    assert max(a["yes"] for a in asked) - min(a["yes"] for a in asked) > 0.02, asked
    write_case(folder, config={"model": "model/model_vqa.pth" if is_own else "model", "side": SIDE}, tolerance={"atol": 2e-5, "rtol": 1e-5}, tensors=tensors, questions=asked,
               provenance=provenance(seed, *PACKAGES), why=why, measured=measured)


def make_reward(root, seed):
    folder = fresh_folder(root, "image_reward", "tiny")
    tokenizer = write_vocabulary(folder)
    model = BlipForQuestionAnswering(tiny_config(64, 1, 1, 1e-6, other=128)).eval()
    fill(model, seed)
    g = torch.Generator().manual_seed(seed + 1)
    sizes = [64, 24, 8, 4, 3, 1]
    layers = torch.nn.Sequential(*(torch.nn.Dropout() if i in (1, 3, 5) else torch.nn.Linear(*pair) for i, pair in
                                   enumerate([(64, 24), None, (24, 8), None, (8, 4), None, (4, 3), (3, 1)]))).eval()
    assert [layer.in_features for layer in layers if hasattr(layer, "in_features")] == sizes[:-1]
    with torch.no_grad():
        for p in layers.parameters():
            p.copy_((torch.randn(p.shape, generator=g) * 0.4).half().float())
    state = {f"blip.{name}": value for name, value in own_state(model).items() if not name.startswith("text_decoder.")}
    torch.save(state | {f"mlp.layers.{name}": value.half() for name, value in layers.state_dict().items()}, folder / "ImageReward.pt")
    rewards = []
    for name, height, width, prompt in QUESTIONS:
        tokens = tokenizer([prompt], truncation=True, max_length=LIMIT, padding="max_length", return_tensors="pt")
        picture = Image.fromarray(image(name, height, width))
        short = min(picture.size)
        picture = picture.resize(tuple(int(SIDE * side / short) for side in picture.size), Image.BICUBIC)
        left, top = (round((side - SIDE) / 2) for side in picture.size)
        pixels = normalized(picture.crop((left, top, left + SIDE, top + SIDE)))[None]
        with torch.no_grad():
            texts = model.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask, encoder_hidden_states=model.vision_model(pixels).last_hidden_state).last_hidden_state
            rewards.append(((layers(texts[:, 0]).item()) - 0.16717362830052426) / 1.0333394966054072)
    images = [{"image": [name, height, width], "prompt": prompt, "reward": reward} for (name, height, width, prompt), reward in zip(QUESTIONS, rewards)]
    write_case(folder, config={"weights": "ImageReward.pt", "side": SIDE}, tolerance={"atol": 2e-5, "rtol": 1e-5}, images=images, provenance=provenance(seed, *PACKAGES),
               why="Rewards of a tiny model with ImageReward's names, from the prompt's first token; prompts of up to 35 tokens.")


def make_hpsv2(root):
    """What torchvision's Resize does with float tensors since 0.17, and the padding of HPSv2's package."""
    tensors, sizes, side = {}, {"odd": (53, 98), "tall": (131, 64), "up": (9, 20), "same": (28, 28)}, 28
    for name, (height, width) in sizes.items():
        x = torch.from_numpy(image(name, height, width).copy()).permute(2, 0, 1).float() / 255
        scale = side / float(max(height, width))
        if scale != 1.0:
            new = tuple(round(own * scale) for own in (height, width))
            x = torch.nn.functional.interpolate(x[None], new, mode="bicubic", align_corners=False, antialias=True)[0]
            pad_h, pad_w = side - new[0], side - new[1]
            x = torch.nn.functional.pad(x, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))
        tensors[f"out.{name}"] = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    write_case(fresh_folder(root, "hpsv2_pixels", "rules"), config={"sizes": sizes, "side": side}, tolerance={"atol": 1e-5}, tensors=tensors, provenance=provenance(0, "torch", "numpy"),
               why="HPSv2's pixels: the longer side resized in floats, zeros around, then the normalisation.")


def make_bert(root, case, tokenizer, strings, config, why):
    folder = fresh_folder(root, "bert_tokenizer", case)
    if case == "tiny":
        write_vocabulary(folder / "vocabulary")
        tokenizer.save_pretrained(folder / "fast")
        (folder / "fast" / "tokenizer_config.json").unlink()
    lines = [{"text": text, "ids": tokenizer(text)["input_ids"], "cut": tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"]} for text in strings]
    for line in lines:
        if line["ids"] == line["cut"]:
            del line["cut"]
    (folder / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_case(folder, config={**config, "cases": "cases.jsonl", "max_length": LIMIT, "vocab_size": len(tokenizer)}, tolerance={"exact": True}, provenance=provenance(0, "transformers", "tokenizers"), why=why)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=52)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    make_vqa(args.out, "hf", args.seed, tiny_config(32, 4, 2, 1e-5), False, "The layout and names of transformers.")
    make_vqa(args.out, "own_names", args.seed + 10, tiny_config(64, 1, 1, 1e-6), True, "A file with BLIP's own names, whose sizes follow from its shapes.")
    make_reward(args.out, args.seed + 20)
    make_hpsv2(args.out)
    with_vocabulary = pathlib.Path(args.out) / "blip_vqa" / "own_names" / "model"
    make_bert(args.out, "tiny", BertTokenizer.from_pretrained(with_vocabulary), STRINGS, {"vocabulary": "vocabulary", "fast": "fast"}, "Ids of awkward strings, of vocab.txt and of tokenizer.json.")
