"""Writes a CLIP model of a few kilobytes with its tokenizer, in the layout of Hugging Face. Needs only Python's own library.

make_clip(folder, ...) writes config.json, model.safetensors, vocab.json and merges.txt. The weights are random, by a seed;
each layer keeps the size of its input, so that images and texts differ. Scores of it mean nothing but are the same on every
machine.
"""
import json
import math
import pathlib
import random
import struct

WIDTH, LAYERS, HEADS, MLP, SIDE, PATCH, TOKENS, EMBEDDING = 16, 2, 2, 32, 32, 8, 20, 12
MERGES = ["r e", "re d</w>", "d i", "s c</w>", "di sc</w>", "c a", "ca t</w>"]


def symbols():
    """The character that represents each byte in files of byte-level vocabularies."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [*map(chr, shown), *(chr(0x100 + i) for i in range(len(hidden)))]


def vocabulary():
    single = symbols()
    tokens = single + [symbol + "</w>" for symbol in single] + [merge.replace(" ", "") for merge in MERGES]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def write_tokenizer(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    return len(tokens)


def tower_shapes(prefix, norms):
    shapes = {}
    for i in range(LAYERS):
        layer = f"{prefix}.encoder.layers.{i}"
        for name, out, width in [(f"self_attn.{part}_proj", WIDTH, WIDTH) for part in ("q", "k", "v", "out")] + [("mlp.fc1", MLP, WIDTH), ("mlp.fc2", WIDTH, MLP)]:
            shapes |= {f"{layer}.{name}.weight": (out, width), f"{layer}.{name}.bias": (out,)}
        norms = [*norms, f"encoder.layers.{i}.layer_norm1", f"encoder.layers.{i}.layer_norm2"]
    for norm in norms:
        shapes |= {f"{prefix}.{norm}.weight": (WIDTH,), f"{prefix}.{norm}.bias": (WIDTH,)}
    return shapes


def shapes(num_tokens):
    vision, text = "vision_model.embeddings", "text_model.embeddings"
    return {
        **tower_shapes("vision_model", ["pre_layrnorm", "post_layernorm"]), **tower_shapes("text_model", ["final_layer_norm"]),
        f"{vision}.class_embedding": (WIDTH,), f"{vision}.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        f"{vision}.position_embedding.weight": ((SIDE // PATCH) ** 2 + 1, WIDTH),
        f"{text}.token_embedding.weight": (num_tokens, WIDTH), f"{text}.position_embedding.weight": (TOKENS, WIDTH),
        "visual_projection.weight": (EMBEDDING, WIDTH), "text_projection.weight": (EMBEDDING, WIDTH), "logit_scale": (),
    }


def values(name, shape, random_numbers):
    count = math.prod(shape)
    if name == "logit_scale":
        return [2.0]
    if "norm" in name:
        return [1.0 if name.endswith("weight") else 0.0] * count
    spread = 1.0 if "embedding" in name and "patch" not in name else 1 / math.sqrt(math.prod(shape[1:]) or 1)
    return [random_numbers.gauss(0, spread) for _ in range(count)]


def write_safetensors(file, tensors):
    """tensors: name -> (shape, numbers), stored as float32."""
    header, data = {}, b""
    for name, (shape, numbers) in sorted(tensors.items()):
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(file).write_bytes(struct.pack("<Q", len(text)) + text + data)


def make_clip(folder, seed=1, tokenizer=True):
    """The folder of a model; without its tokenizer if that is not wanted."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    num_tokens = write_tokenizer(folder) if tokenizer else len(vocabulary())
    tower = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": MLP, "hidden_act": "quick_gelu"}
    config = {"model_type": "clip", "projection_dim": EMBEDDING,
              "vision_config": {**tower, "image_size": SIDE, "patch_size": PATCH},
              "text_config": {**tower, "vocab_size": num_tokens, "max_position_embeddings": TOKENS, "eos_token_id": num_tokens - 1}}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    numbers = random.Random(seed)
    write_safetensors(folder / "model.safetensors", {name: (shape, values(name, shape, numbers)) for name, shape in sorted(shapes(num_tokens).items())})


def make_head(file, width=EMBEDDING, seed=2):
    """An aesthetic head of one linear layer."""
    numbers = random.Random(seed)
    write_safetensors(file, {"weight": ((1, width), [numbers.gauss(0, 1) for _ in range(width)]), "bias": ((1,), [5.0])})
