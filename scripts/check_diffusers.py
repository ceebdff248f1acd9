"""Opens folders that `pixart convert` writes in diffusers and compares both forward passes. Run by check_weights.sh."""
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file

WIDTH, HEADS, DEPTH, CAPTION, TOKENS = 384, 6, 3, 64, 20
ATOL = 2e-4  # outputs are of the order of 1; diffusers masks with -10000 where we leave tokens out


def linear(weights, name, rows, columns):
    weights[name + ".weight"] = torch.randn(rows, columns) / columns**0.5
    weights[name + ".bias"] = torch.randn(rows) * 0.1


def blocks(weights, cross):
    for i in range(DEPTH):
        b = f"blocks.{i}."
        linear(weights, b + "attn.qkv", 3 * WIDTH, WIDTH)
        linear(weights, b + "attn.proj", WIDTH, WIDTH)
        linear(weights, b + "mlp.fc1", 4 * WIDTH, WIDTH)
        linear(weights, b + "mlp.fc2", WIDTH, 4 * WIDTH)
        if cross:
            linear(weights, b + "cross_attn.q_linear", WIDTH, WIDTH)
            linear(weights, b + "cross_attn.kv_linear", 2 * WIDTH, WIDTH)
            linear(weights, b + "cross_attn.proj", WIDTH, WIDTH)
            weights[b + "scale_shift_table"] = torch.randn(6, WIDTH) * 0.3
        else:
            linear(weights, b + "adaLN_modulation.1", 6 * WIDTH, WIDTH)


def ends(weights):
    weights["x_embedder.proj.weight"] = torch.randn(WIDTH, 4, 2, 2) / 4
    weights["x_embedder.proj.bias"] = torch.randn(WIDTH) * 0.1
    linear(weights, "t_embedder.mlp.0", WIDTH, 256)
    linear(weights, "t_embedder.mlp.2", WIDTH, WIDTH)
    linear(weights, "final_layer.linear", 32, WIDTH)


def pixart(micro):
    weights = {}
    ends(weights)
    blocks(weights, cross=True)
    linear(weights, "t_block.1", 6 * WIDTH, WIDTH)
    linear(weights, "y_embedder.y_proj.fc1", WIDTH, CAPTION)
    linear(weights, "y_embedder.y_proj.fc2", WIDTH, WIDTH)
    weights["y_embedder.y_embedding"] = torch.randn(TOKENS, CAPTION)
    weights["final_layer.scale_shift_table"] = torch.randn(2, WIDTH) * 0.3
    if micro:
        for name in ("csize_embedder", "ar_embedder"):
            linear(weights, name + ".mlp.0", WIDTH // 3, 256)
            linear(weights, name + ".mlp.2", WIDTH // 3, WIDTH // 3)
    return weights


def dit():
    weights = {}
    ends(weights)
    blocks(weights, cross=False)
    weights["y_embedder.embedding_table.weight"] = torch.randn(11, WIDTH)
    linear(weights, "final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)
    return weights


def run(*command):
    print("$", *[pathlib.Path(c).name if "/" in str(c) else c for c in command])
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def ours(binaries, folder, weights, inputs):
    save_file({k: v.contiguous() for k, v in inputs.items()}, folder / "inputs.safetensors")
    run(binaries / "pixart_forward", weights, folder / "inputs.safetensors", folder / "out.safetensors")
    return load_file(folder / "out.safetensors")["out.output"]


def compare(what, got, want):
    difference = (got - want).abs().max().item()
    print(f"{what}: largest difference {difference:.1e} (outputs up to {want.abs().max():.1f})")
    assert difference <= ATOL, what


def check_pixart(binaries, folder, micro):
    side = 128 if micro else 32
    name = "PixArt-MS" if micro else "PixArt"
    source, target = folder / f"{name}.pth", folder / f"{name}-pipeline"
    torch.save({"state_dict": pixart(micro), "epoch": 1}, source)
    print(run(binaries / "pixart", "convert", source, target, "--pipeline", "--vae", folder / "vae",
              "--text-encoder", folder / "t5", "--prediction", "epsilon"), end="")
    pipe = diffusers.PixArtAlphaPipeline.from_pretrained(target)
    x, t = torch.randn(2, 4, side // 4, side // 2) if micro else torch.randn(2, 4, side, side), torch.tensor([500.0, 37.5])
    caption, mask = torch.randn(2, TOKENS, CAPTION), torch.zeros(2, TOKENS, dtype=torch.int64)
    mask[0, :5], mask[1, :TOKENS] = 1, 1
    inputs = {"in.x": x, "in.t": t, "in.y": caption, "in.mask": mask}
    conditions = {"resolution": None, "aspect_ratio": None}
    if micro:
        inputs["in.img_hw"] = torch.tensor([[256.0, 512.0]] * 2)
        inputs["in.aspect_ratio"] = torch.tensor([[0.5]] * 2)
        conditions = {"resolution": inputs["in.img_hw"], "aspect_ratio": inputs["in.aspect_ratio"]}
    with torch.no_grad():
        theirs = pipe.transformer(x, encoder_hidden_states=caption, timestep=t, encoder_attention_mask=mask,
                                  added_cond_kwargs=conditions, return_dict=False)[0]
    compare(f"{name}: official file, ours against diffusers", ours(binaries, folder, source, inputs), theirs)
    compare(f"{name}: diffusers folder, ours against diffusers",
            ours(binaries, folder, target / "transformer", inputs), theirs)
    image = pipe("a red circle", num_inference_steps=2, height=64, width=64, use_resolution_binning=False,
                   output_type="np").images
    print(f"{name}: the pipeline generates {image.shape}")


def check_types(binaries, folder):
    """The line of Python that `convert --pipeline` prints opens the pipeline with one type for all of its parts."""
    source = folder / "PixArt.pth"
    for name in ("float32", "float16", "bfloat16"):
        target = folder / f"pipeline-{name}"
        printed = run(binaries / "pixart", "convert", source, target, "--pipeline", "--vae", folder / "vae", "--text-encoder",
                      folder / "t5", "--dtype", name, "--prediction", "epsilon")
        line = next(line for line in printed.splitlines() if "in Python: " in line)
        pipe = eval(line.split("in Python: ")[1].split("  (")[0], {"diffusers": diffusers, "torch": torch})
        types = {part: str(getattr(pipe, part).dtype) for part in ("transformer", "text_encoder", "vae")}
        image = pipe("a red circle", num_inference_steps=2, height=64, width=64, use_resolution_binning=False, output_type="np").images
        print(f"--dtype {name}: the printed line gives {set(types.values())}; an image of {image.shape}, finite: {bool((image == image).all())}")
        assert set(types.values()) == {f"torch.{name}"}, types


def check_dit(binaries, folder):
    source, target = folder / "DiT.pt", folder / "DiT-pipeline"
    torch.save(dit(), source)
    print(run(binaries / "pixart", "convert", source, target, "--pipeline", "--vae", folder / "vae",
              "--prediction", "epsilon"), end="")
    pipe = diffusers.DiTPipeline.from_pretrained(target)
    tensors = pipe.transformer.state_dict()
    back = folder / "DiT-back.pth"
    run(binaries / "pixart", "convert", target / "transformer", back)
    again = torch.load(back, weights_only=True)["state_dict"]
    assert all(torch.equal(again[k], v) for k, v in torch.load(source, weights_only=True).items())
    print(f"DiT: opens in diffusers ({len(tensors)} tensors); back again every number is equal. Its forward pass is "
          "not compared: diffusers' DiT uses other timestep frequencies than the published model")


def main(binaries):
    torch.manual_seed(0)
    print("diffusers", diffusers.__version__, "transformers", transformers.__version__, "torch", torch.__version__)
    spiece = next(pathlib.Path("tests/golden/tokenizer").glob("*/spiece.model"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        diffusers.AutoencoderKL(block_out_channels=(32, 32, 32, 32), norm_num_groups=8, latent_channels=4,
                                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4
                                ).save_pretrained(folder / "vae")
        t5 = transformers.T5Config(vocab_size=1200, d_model=CAPTION, d_kv=16, d_ff=64, num_layers=2, num_heads=4,
                                   feed_forward_proj="gated-gelu", dropout_rate=0.0)
        transformers.T5EncoderModel(t5).save_pretrained(folder / "t5")
        (folder / "t5/spiece.model").write_bytes(spiece.read_bytes())
        check_pixart(binaries, folder, micro=False)
        check_pixart(binaries, folder, micro=True)
        check_types(binaries, folder)
        check_dit(binaries, folder)


main(pathlib.Path(sys.argv[1]).resolve())
