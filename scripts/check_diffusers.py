"""Opens folders that `pixart convert` writes in diffusers and compares both forward passes. Run by check_weights.sh.

Usage: check_diffusers.py BINARIES [alpha|sigma|dit|predictions ...]     all if none is named
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import torch
import transformers
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from safetensors.torch import load_file, save_file

WIDTH, HEADS, DEPTH, CAPTION, TOKENS, SIGMA_TOKENS = 384, 6, 3, 64, 20, 300
ATOL = 2e-4  # outputs are of the order of 1; diffusers masks with -10000 where we leave tokens out
SIGMA_SHARE = 1e-5  # of the largest output; diffusers' own distance from float64 is 6e-7 of it


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


def pixart(micro, tokens=TOKENS):
    weights = {}
    ends(weights)
    blocks(weights, cross=True)
    linear(weights, "t_block.1", 6 * WIDTH, WIDTH)
    linear(weights, "y_embedder.y_proj.fc1", WIDTH, CAPTION)
    linear(weights, "y_embedder.y_proj.fc2", WIDTH, WIDTH)
    weights["y_embedder.y_embedding"] = torch.randn(tokens, CAPTION)
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


def compare(what, got, want, atol=ATOL):
    difference = (got - want).abs().max().item()
    print(f"{what}: largest difference {difference:.1e} (outputs up to {want.abs().max():.1f})")
    assert difference <= atol, what


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


def sigma(side, scale):
    """The names of PixArt-Sigma's released files, of which some have pos_embed."""
    weights = pixart(micro=False, tokens=SIGMA_TOKENS)
    weights["pos_embed"] = get_2d_sincos_pos_embed(WIDTH, side // 2, base_size=side // 2, interpolation_scale=scale,
                                                   output_type="pt").float().unsqueeze(0)
    return weights


def official_again(binaries, source, *folders):
    """The official names after each of the conversions in turn."""
    for target in folders:
        run(binaries / "pixart", "convert", source, target, "--overwrite")
        source = target
    return torch.load(source, weights_only=True)["state_dict"]


def check_round_trips(binaries, folder, source):
    before = torch.load(source, weights_only=True)["state_dict"]
    ours_only = official_again(binaries, source, folder / "sigma.safetensors", folder / "sigma-back.pth")
    assert ours_only.keys() == before.keys() and all(torch.equal(ours_only[k], v) for k, v in before.items())
    by_diffusers = official_again(binaries, source, folder / "sigma-diffusers", folder / "sigma-back.pth")
    left = before.keys() - {"y_embedder.y_embedding", "pos_embed"}  # diffusers has neither; the latter is computed again
    assert by_diffusers.keys() == left | {"pos_embed"} and all(torch.equal(by_diffusers[k], before[k]) for k in left)
    compare("PixArt-Sigma: pos_embed, computed again", by_diffusers["pos_embed"], before["pos_embed"], atol=1e-6)
    print(f"PixArt-Sigma: official, ours, official: {len(before)} tensors are equal; official, diffusers, official: {len(left)}")


def check_recognised(binaries, path, words):
    report = json.loads(run(binaries / "pixart", "inspect", path, "--json"))[0]
    print(f"{path.name}: {report['summary']}; assumed: {report['assumed']}")
    sizes = report["architecture"]
    assert report["summary"].startswith("PixArt-Sigma,"), report["summary"]
    assert (sizes["max_tokens"], sizes["multi_scale"], sizes["micro_conditions"]) == (SIGMA_TOKENS, True, False), sizes
    assert any(words in text for text in report["assumed"]) if words else len(report["assumed"]) == 0, report["assumed"]


def without_our_entries(config_json):
    """diffusers warns of entries of ours, but keeps them; files that were never ours have none."""
    config = json.loads(config_json.read_text())
    for name in ("max_tokens", "multi_scale"):
        config.pop(name, None)
    config_json.write_text(json.dumps(config))


def check_sigma(binaries, folder, side, scale):
    """Official file -> pipeline -> diffusers -> as diffusers saves it -> ours, at every step the same model."""
    source, target, saved = folder / "Sigma.pth", folder / f"Sigma-{side}-pipeline", folder / f"Sigma-{side}-saved"
    torch.save({"state_dict": sigma(side, scale), "epoch": 1}, source)
    check_recognised(binaries, source, "6 heads")
    check_round_trips(binaries, folder, source)
    print(run(binaries / "pixart", "convert", source, target, "--pipeline", "--vae", folder / "vae",
              "--text-encoder", folder / "t5", "--prediction", "epsilon"), end="")
    pipe = diffusers.DiffusionPipeline.from_pretrained(target)
    assert type(pipe) is diffusers.PixArtSigmaPipeline, type(pipe)
    config = pipe.transformer.config
    assert (config.sample_size, config.interpolation_scale, config.use_additional_conditions) == (side, scale, False), config
    pipe.save_pretrained(saved)  # without our metadata
    x, t = torch.randn(2, 4, side, side // 2), torch.tensor([500.0, 37.5])
    caption, mask = torch.randn(2, SIGMA_TOKENS, CAPTION), torch.zeros(2, SIGMA_TOKENS, dtype=torch.int64)
    mask[0, :5], mask[1, :] = 1, 1
    with torch.no_grad():
        theirs = pipe.transformer(x, encoder_hidden_states=caption, timestep=t, encoder_attention_mask=mask,
                                  added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False)[0]
    inputs = {"in.x": x, "in.t": t, "in.y": caption, "in.mask": mask}
    atol = SIGMA_SHARE * theirs.abs().max().item()
    for path in (source, target / "transformer", saved / "transformer"):
        compare(f"PixArt-Sigma, side {side}: {path.parent.name}/{path.name}", ours(binaries, folder, path, inputs), theirs, atol)
    check_recognised(binaries, target / "transformer", "")
    check_recognised(binaries, saved / "transformer", "")
    without_our_entries(saved / "transformer/config.json")
    check_recognised(binaries, saved / "transformer", "")  # by the pipeline around it
    check_recognised(binaries, (saved / "transformer").rename(folder / f"Sigma-{side}-alone"), "are its own")
    image = pipe("a red circle", num_inference_steps=2, height=64, width=64, use_resolution_binning=False,
                 output_type="np").images
    print(f"PixArt-Sigma: the pipeline generates {image.shape}")


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


def check_predictions(binaries, folder):
    """Pipelines of v and flow begin at the noisiest timestep, and pixart reads their schedulers back."""
    for prediction, options in (("v", ["--zero-terminal-snr"]), ("flow", ["--shift", "3"])):
        for source, encoder in (("PixArt.pth", ["--text-encoder", folder / "t5"]), ("DiT.pt", [])):
            target = folder / f"{source}-{prediction}"
            run(binaries / "pixart", "convert", folder / source, target, "--pipeline", "--vae", folder / "vae", *encoder,
                "--prediction", prediction, *options)
            pipe = diffusers.DiffusionPipeline.from_pretrained(target)
            pipe.scheduler.set_timesteps(5)
            told = json.loads(run(binaries / "pixart", "inspect", target / "transformer", "--json"))[0]["process"]
            print(f"{source}, {prediction}: {type(pipe.scheduler).__name__} begins at t = {pipe.scheduler.timesteps[0]}; pixart reads {told}")
            assert pipe.scheduler.timesteps[0] == 999 and told["prediction"] == prediction, told
            if encoder:  # diffusers' DiT has 1000 classes in its code
                image = pipe("a red circle", num_inference_steps=2, height=64, width=64, use_resolution_binning=False, output_type="np").images
                assert (image == image).all()


def check_alpha(binaries, folder):
    check_pixart(binaries, folder, micro=False)
    check_pixart(binaries, folder, micro=True)
    check_types(binaries, folder)


def check_sigmas(binaries, folder):
    check_sigma(binaries, folder, side=32, scale=0.5)  # 256 pixels
    check_sigma(binaries, folder, side=128, scale=2)


CHECKS = {"alpha": check_alpha, "sigma": check_sigmas, "dit": check_dit, "predictions": check_predictions}


def main(binaries, *names):
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
        for name in names or CHECKS:
            CHECKS[name](binaries, folder)


main(pathlib.Path(sys.argv[1]).resolve(), *sys.argv[2:])
