"""A teacher of fixed filters: a CLIP folder whose image transformer was not trained. Python's standard library only.

Each patch becomes its lowest cosine components in three mixtures of the colours; the blocks of the transformer add nothing. It
takes the place of a trained network, which neither Debian nor this project has. A real CLIP knows more: name one with --teacher.
"""

import json
import math
import pathlib
import struct

SIDE, PATCH, WIDTH, LAYERS, HEADS, MLP, TOKENS, EMBEDDING, VOCABULARY = 32, 8, 48, 1, 2, 8, 4, 4, 4
COLOURS = [(1 / 3, 1 / 3, 1 / 3), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5)]  # brightness, red against green, yellow against blue


def filters():
    """[WIDTH][3][PATCH][PATCH]: cosine components by rising frequency, for each mixture of colours."""
    frequencies = sorted(((i, j) for i in range(PATCH) for j in range(PATCH)), key=lambda pair: (sum(pair), pair))[: WIDTH // len(COLOURS)]
    wave = [[math.cos(math.pi * (x + 0.5) * k / PATCH) for x in range(PATCH)] for k in range(PATCH)]
    return [[[[share * wave[i][y] * wave[j][x] for x in range(PATCH)] for y in range(PATCH)] for share in colour]
            for i, j in frequencies for colour in COLOURS]


def flat(values):
    if isinstance(values, (int, float)):
        return [values]
    return [number for value in values for number in flat(value)]


def shapes():
    """name -> shape of all tensors of a CLIP model."""
    result = {"logit_scale": (), "visual_projection.weight": (EMBEDDING, WIDTH), "text_projection.weight": (EMBEDDING, WIDTH),
              "vision_model.embeddings.class_embedding": (WIDTH,), "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
              "vision_model.embeddings.position_embedding.weight": ((SIDE // PATCH) ** 2 + 1, WIDTH),
              "text_model.embeddings.token_embedding.weight": (VOCABULARY, WIDTH),
              "text_model.embeddings.position_embedding.weight": (TOKENS, WIDTH)}
    for tower, norms in (("vision_model", ["pre_layrnorm", "post_layernorm"]), ("text_model", ["final_layer_norm"])):
        for i in range(LAYERS):
            layer = f"{tower}.encoder.layers.{i}"
            norms += [f"encoder.layers.{i}.layer_norm1", f"encoder.layers.{i}.layer_norm2"]
            for name, out, width in [(f"self_attn.{part}_proj", WIDTH, WIDTH) for part in "qkv"] + [
                    ("self_attn.out_proj", WIDTH, WIDTH), ("mlp.fc1", MLP, WIDTH), ("mlp.fc2", WIDTH, MLP)]:
                result |= {f"{layer}.{name}.weight": (out, width), f"{layer}.{name}.bias": (out,)}
        for norm in norms:
            result |= {f"{tower}.{norm}.weight": (WIDTH,), f"{tower}.{norm}.bias": (WIDTH,)}
    return result


def values(name, shape):
    if name.endswith("patch_embedding.weight"):
        return flat(filters())
    is_scale = "norm" in name and name.endswith("weight")
    return [1.0 if is_scale else 0.0] * math.prod(shape)


def write_teacher(folder):
    """The folder of the model, which is written once."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tower = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": MLP, "hidden_act": "quick_gelu"}
    config = {"model_type": "clip", "projection_dim": EMBEDDING, "vision_config": {**tower, "image_size": SIDE, "patch_size": PATCH},
              "text_config": {**tower, "vocab_size": VOCABULARY, "max_position_embeddings": TOKENS, "eos_token_id": VOCABULARY - 1}}
    header, data = {}, b""
    for name, shape in sorted(shapes().items()):
        packed = struct.pack(f"<{math.prod(shape)}f", *values(name, shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    for file, content in (("config.json", json.dumps(config, indent=1).encode()), ("model.safetensors", struct.pack("<Q", len(text)) + text + data)):
        if not (folder / file).exists() or (folder / file).read_bytes() != content:
            (folder / file).write_bytes(content)
    return folder
