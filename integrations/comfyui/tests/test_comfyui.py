"""The node pack without ComfyUI: sound VAEs pass, planted faults are found, what is not run is named."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import comfy_vae
import numpy as np
import pytest
import torch
import vae_fidelity
from comfy_vae import BUILTIN, builtin
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from PIL import Image

PACK = Path(__file__).parents[1]
CONFIG = f"{BUILTIN}/config.json"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(PACK.parents[1])


@pytest.fixture(scope="module")
def pack():
    """As ComfyUI loads it: nodes.py, `load_custom_node`."""
    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check(pack):
    """Runs the node as ComfyUI runs it."""
    node = pack.NODE_CLASS_MAPPINGS["VaeFidelityCheck"]

    def run(vae, image, **widgets):
        with torch.inference_mode():
            made = getattr(node(), node.FUNCTION)(vae, image, **widgets)
        text, picture, passed = made["result"]
        assert made["ui"]["text"] == (text,) and type(passed) is bool
        assert picture.dtype == torch.float32 and picture.ndim == 4 and picture.shape[3] == 3
        return text, picture, passed

    return run


def photo(height=128, width=128, top=0):
    """As nodes.py, `LoadImage`, makes it: (1, height, width, 3) in [0, 1]."""
    pixels = np.array(Image.open(PACK.parents[1] / "golden/images/astronaut.png").convert("RGB")).astype(np.float32) / 255.0
    return torch.from_numpy(pixels)[None, top : top + height, :width]


def test_it_is_what_comfyui_looks_for(pack):
    assert pack.NODE_DISPLAY_NAME_MAPPINGS.keys() == pack.NODE_CLASS_MAPPINGS.keys()
    assert list((PACK / pack.WEB_DIRECTORY).glob("*.js"))
    node = pack.NODE_CLASS_MAPPINGS["VaeFidelityCheck"]
    inputs = node.INPUT_TYPES()
    assert inputs["required"]["vae"][0] == "VAE" and inputs["required"]["image"][0] == "IMAGE"
    assert node.RETURN_TYPES == ("STRING", "IMAGE", "BOOLEAN") and node.OUTPUT_NODE
    assert len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS) == 3


def test_its_families_are_the_package_s(pack):
    families = pack.NODE_CLASS_MAPPINGS["VaeFidelityCheck"].INPUT_TYPES()["required"]["family"][0]
    with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
        vae_fidelity.Pipeline("builtin", family="no such family")
    assert families == ["auto", *raised.value.problem.removeprefix("expected one of ").split(", ")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_sound_vae_passes(check, dtype):
    text, picture, passed = check(builtin(dtype), photo(), config=CONFIG)
    assert passed and text.startswith("verdict: pass\nAutoencoderKL of ComfyUI, "), text
    assert picture.shape == (1, 128, 128, 3) and 0 <= picture.min() < picture.max() <= 1
    # All that ComfyUI's VAE made is the engine's, too.
    assert text.count("\nyours") == 3 and "error" not in text.replace("error    mean", ""), text


def test_a_batch_with_alpha_is_cropped_as_comfyui_crops(check):
    vae, batch = builtin(), torch.cat([photo(83, 101), photo(83, 101, top=60)])
    image = torch.cat([batch, torch.full((2, 83, 101, 1), 0.3)], dim=3)
    text, picture, passed = check(vae, image, config=CONFIG)
    assert passed and picture.shape == (1, 80, 96, 3), text
    for note in ("alpha is left out", "1 of 2 pictures judged", "cropped from 101 x 83 to 96 x 80"):
        assert note in text
    text, picture, passed = check(vae, image, config=CONFIG, pictures=8)
    assert passed and "picture 2 of 2" in text and "pictures judged" not in text
    assert torch.equal(picture, vae.decode(vae.encode(batch)))


def test_taesd_is_judged_at_the_scale_of_its_own_latents(check):
    text, _, _ = check(comfy_vae.taesd(), photo(64, 64))
    assert "`latents`: this VAE's mode, unscaled" in text and "taesd family" in text, text


def test_flux2_s_latents_are_normalised_by_the_model(check, tmp_path):
    vae, config = comfy_vae.flux2()
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKLFlux2", **config}))
    text, _, _ = check(vae, photo(64, 64), config=str(tmp_path / "config.json"))
    assert "`latents`: this VAE's mode" in text and "unscaled" not in text, text
    assert "`decoded_image`: what this VAE decodes from your latents" in text, text


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    vae, config = comfy_vae.wan()
    path = tmp_path_factory.mktemp("wan") / "config.json"
    path.write_text(json.dumps({"_class_name": "AutoencoderKLWan", **config}))
    return vae, str(path)


def test_a_vae_of_videos_is_given_one_picture_at_a_time(check, wan):
    vae, config = wan
    text, picture, _ = check(vae, torch.cat([photo(40, 48), photo(40, 48, top=60)]), config=config, pictures=2)
    assert "WanVAE of ComfyUI" in text and "picture 2 of 2" in text and picture.shape == (2, 40, 48, 3), text
    # Its weights are as PyTorch draws them, and what it made is the engine's.
    found = set(re.findall(r"^error +([a-z-]+)", text.split("\n\n")[0], re.MULTILINE))
    assert text.count("\nyours") == 6 and found <= {"weights-untrained"}, text
    right = vae.process_output
    vae.process_output = lambda image: right(image.flip(1))
    text, _, passed = check(vae, photo(40, 48), config=config)
    vae.process_output = right
    assert not passed and "channel-swap" in text, text


def test_more_frames_than_one_are_refused(check, wan, monkeypatch):
    vae, config = wan
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda samples: right(samples).repeat(1, 4, 1, 1, 1))
    text, _, passed = check(vae, photo(40, 48), config=config)
    assert not passed and "pictures of shape (1, 4, 40, 48, 3) of one picture" in text, text
    sound = builtin()
    sound.latent_dim = 1
    text, _, passed = check(sound, photo(64, 64), config=CONFIG)
    assert not passed and "its latents have 1 dimensions" in text, text


@pytest.fixture(scope="module")
def stable_diffusion():
    return comfy_vae.stable_diffusion()


def test_shapes_of_several_families_need_no_answer(check, stable_diffusion):
    text, _, _ = check(stable_diffusion, photo(32, 32))
    assert "those of sd1, sd2, sdxl, playground-v2.5, and it is taken for sd1" in text, text
    assert "`latents`: this VAE's mode" in text and "weights-untrained" in text
    text, _, _ = check(stable_diffusion, photo(32, 32), family="sdxl")
    assert "sdxl family" in text and "taken for" not in text


def test_a_family_that_the_latents_speak_against_is_given_up(pack, check, stable_diffusion, monkeypatch):
    judge, taken = sys.modules[f"{pack.__name__}.judge"], []

    def checked(weights, picture, trip, at):
        taken.append(weights.pipeline.model.family)
        found = SimpleNamespace(code="wrong-family-values", severity="warning", evidence={"family": "sdxl"})
        return SimpleNamespace(verdict="pass", findings=[found] if len(taken) == 1 else [])

    monkeypatch.setattr(judge, "_checked", checked)
    text, _, passed = check(stable_diffusion, photo(32, 32))
    assert passed and taken == ["sd1", "sdxl"] and "it is taken for sdxl" in text


FAULTS = {}


def planted(*codes):
    def add(plant):
        FAULTS[plant.__name__] = (plant, codes)
        return plant

    return add


@planted("channel-swap")
def bgr_before_the_encoder(vae):
    right = vae.process_input
    vae.process_input = lambda image: right(image.flip(1))


@planted("channel-swap")
def bgr_after_the_decoder(vae):
    right = vae.process_output
    vae.process_output = lambda image: right(image.flip(1))


@planted("scaling-factor-mismatch")
def doubled_scale_of_latents(vae):
    right = vae.first_stage_model.encode
    vae.first_stage_model.encode = lambda x: right(x) * 2


@planted("scaling-factor-mismatch")
def scaled_before_the_decoder(vae):
    right = vae.first_stage_model.decode
    vae.first_stage_model.decode = lambda z: right(z * 2)


@planted("output-not-denormalised")
def decoder_in_the_wrong_range(vae):
    vae.process_output = lambda image: image.clamp(0.0, 1.0)


@planted("input-not-normalised")
def encoder_in_the_wrong_range(vae):
    vae.process_input = lambda image: image


@planted("black-picture", "non-finite-output")
def not_a_number(vae):
    vae.first_stage_model.decode = lambda z: torch.full((len(z), 3, z.shape[2] * 8, z.shape[3] * 8), torch.nan)


@planted("weights-non-finite")
def not_a_number_in_a_weight(vae):
    with torch.no_grad():
        vae.first_stage_model.inner.decoder.conv_in.weight[0, 0, 0, 0] = torch.nan


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(check, fault):
    plant, codes = FAULTS[fault]
    vae = builtin()
    plant(vae)
    text, _, passed = check(vae, photo(), config=CONFIG)
    assert not passed and text.startswith("verdict: fail"), text
    assert text.split("\n")[1].split()[1].rstrip(":") in codes, text


@pytest.mark.parametrize("step, compared", [("encoding", 1), ("decoding", 2)])
def test_tiles_for_want_of_memory_are_not_held_against_the_vae(check, step, compared):
    text, _, passed = check(builtin(cls=comfy_vae.ShortOfMemory, step=step), photo(), config=CONFIG)
    assert passed and f"took tiles for {step}" in text and text.count("\nyours") == compared, text


def test_patches_are_judged_as_they_ran(check):
    """comfy/model_patcher.py puts patches into the weights when the model is loaded to run."""

    class Patched(comfy_vae.Vae):
        def encode(self, pixels):
            if self.patcher.patches:
                with torch.no_grad():
                    self.first_stage_model.inner.encoder.conv_in.weight *= 1.01
            return super().encode(pixels)

    vae = builtin(cls=Patched)
    vae.patcher.patches = {"encoder.conv_in.weight": []}
    text, _, passed = check(vae, photo(), config=CONFIG)
    assert passed and text.count("\nyours") == 3, text


def test_a_model_of_diffusers_is_judged_layer_by_layer(check):
    model = AutoencoderKL.from_pretrained(BUILTIN)
    for vae in (model, comfy_vae.Vae(model)):
        text, picture, passed = check(vae, photo(64, 64))
        assert passed and "beside the same weights on this engine" in text and picture.max() > 0.5, text
    model.decoder.conv_norm_out.num_groups = 4
    text, _, passed = check(model, photo(64, 64))
    assert not passed and "live-layer-differs at decoder.conv_norm_out" in text
    model = comfy_vae.wan()[0].first_stage_model.inner
    text, picture, _ = check(comfy_vae.ClipVae(model), photo(32, 48))
    assert "beside the same weights on this engine" in text and "live-" not in text and picture.shape == (1, 32, 48, 3), text


def test_what_is_not_run_is_named(check):
    video = comfy_vae.ClipVae(AutoencoderKLTemporalDecoder(block_out_channels=(32,)))
    sound = builtin()
    missing = comfy_vae.Vae(None)
    other = comfy_vae.Vae(torch.nn.Linear(2, 2))
    gone = comfy_vae.Vae(torch.nn.Linear(2, 2, device="meta"))
    for vae, image, words in (
        (video, photo(64, 64), "AutoencoderKLTemporalDecoder"),
        (missing, photo(64, 64), "has no weights to judge"),
        (other, photo(64, 64), "next:"),
        (gone, photo(64, 64), "cannot be read"),
        (sound, photo(64, 64), "config.json"),
        (sound, torch.zeros(1, 4, 4, 3), "less than one latent"),
        (sound, torch.zeros(1, 64, 64), "connect an IMAGE"),
        (object(), photo(64, 64), "has no weights to judge"),
    ):
        text, picture, passed = check(vae, image)
        assert not passed and text.startswith("not judged\n") and words in text, text
        assert not picture.any()


def test_a_cancelled_run_stops(check, monkeypatch):
    class Cancelled(Exception):
        pass

    class Management:
        @staticmethod
        def throw_exception_if_processing_interrupted():
            raise Cancelled

    monkeypatch.setitem(sys.modules, "comfy.model_management", Management)
    with pytest.raises(Cancelled):
        check(builtin(), photo(64, 64), config=CONFIG)
