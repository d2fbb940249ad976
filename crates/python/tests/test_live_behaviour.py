"""A model in memory is left as it was, and what cannot be judged is said."""

import gc
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import vae_fidelity
from diffusers import AutoencoderKL
from live_adapters import attached
from live_attacks import Rough, held_in
from live_models import BUILTIN, MODELS, OF_CLIPS
from vae_fidelity.live import adapters

PHOTO = "golden/images/astronaut.png"
SIZE = {"width": 48, "height": 32}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])


def loaded():
    return AutoencoderKL.from_pretrained(BUILTIN)


def state(vae):
    """All that a check could change."""
    hooks = [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in vae.modules()]
    gradients = [None if each.grad is None else each.grad.clone() for each in vae.parameters()]
    tensors = {name: each.clone() for name, each in vae.state_dict().items()}
    flags = [(each.training, type(each), sorted(each.__dict__)) for each in vae.modules()]
    requires = [(each.requires_grad, each.dtype, each.device) for each in vae.parameters()]
    return hooks, gradients, tensors, flags, requires, torch.get_rng_state()


def is_same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderKLFlux2", *OF_CLIPS])
def test_nothing_of_the_model_is_changed(name, raises, monkeypatch):
    vae = MODELS[name]().train()
    vae.decoder.conv_in.weight.grad = torch.ones_like(vae.decoder.conv_in.weight)
    if name == "AutoencoderKLFlux2":
        # Statistics that move while it runs.
        right = vae.encode
        monkeypatch.setattr(vae, "encode", lambda x: (vae.bn(torch.rand(2, vae.bn.num_features, 4, 4)), right(x))[1])
    if raises:
        monkeypatch.setattr(vae.decoder.mid_block.resnets[1], "forward", lambda *_, **keywords: 1 / 0)
    before = state(vae)
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    assert is_same(before, state(vae)), name
    if raises:
        [found] = [each for each in report.findings if each.code.startswith("live-")]
        assert (found.code, found.layer) == ("live-forward-differs", "decoder.mid_block.resnets.1")
        assert "ZeroDivisionError" in found.title and report.picture is None


def test_batch_norms_in_training_mode_are_named_and_their_statistics_left():
    vae = MODELS["AutoencoderDC, batch norms"]().train()
    before = state(vae)
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    assert is_same(before, state(vae))
    [found] = [each for each in report.findings if each.code.startswith("live-")]
    assert (found.code, found.layer) == ("live-training-mode", "decoder.up_blocks.1.1.norm")


@pytest.mark.parametrize("name", OF_CLIPS)
def test_what_a_model_remembers_of_a_clip_is_left(name):
    vae = MODELS[name]()
    vae.clear_cache()
    vae._feat_map[0], remembered = torch.ones(1), vae._feat_map
    report = vae_fidelity.check(vae, PHOTO, same_bits=True, **SIZE)
    assert vae._feat_map is remembered and torch.equal(remembered[0], torch.ones(1)) and remembered[1] is None
    assert report.same_bits is True and report.picture.shape == (32, 48, 3) and report.psnr_db > 80, report


@pytest.mark.parametrize("name", OF_CLIPS)
def test_a_picture_may_be_a_clip_of_one_frame(name):
    vae = MODELS[name]()
    pixels = vae_fidelity.preprocess(PHOTO, **SIZE, alpha=name == "AutoencoderKLQwenImage21")
    sample = torch.from_numpy(pixels).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    with torch.no_grad():
        latents = vae.encode(sample).latent_dist.mode()
        decoded = vae.decode(latents).sample
    pipeline = vae_fidelity.Pipeline(vae)
    made = {"latents": latents, "latents_scale": "raw", "decoded_image": decoded, "preprocessed": sample}
    report = pipeline.check(sample, **made)
    assert [file.agreement for file in report.files] == ["same"] * 3, report.files
    [of_latents] = pipeline.decode(latents, latents_scale="raw", decoded_image=decoded)
    assert of_latents.picture.shape == (32, 48, pixels.shape[2])
    for each, values in (("preprocessed", sample), ("latents", latents), ("decoded_image", decoded), ("picture", sample)):
        asked = {**made, "picture": sample, each: values.repeat(1, 1, 5, 1, 1)}
        with pytest.raises(vae_fidelity.VaeFidelityError, match="one picture is judged, found a clip of 5 frames"):
            pipeline.check(asked.pop("picture"), **asked)


def test_it_is_left_as_it_was_after_ctrl_c(monkeypatch):
    vae = loaded()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vae.decoder.up_blocks[1], "forward", interrupt)
    before = state(vae)
    with pytest.raises(KeyboardInterrupt):
        vae_fidelity.check(vae, PHOTO, **SIZE)
    assert is_same(before, state(vae))


def test_a_sound_model_is_a_page_json_and_a_picture():
    vae = loaded()
    report = vae_fidelity.check(vae, PHOTO, same_bits=True, **SIZE)
    assert report.verdict == "pass" and report.same_bits is True and report.findings == []
    assert report.picture.shape == (32, 48, 3) and report.psnr_db > 80
    read = json.loads(report.to_json())
    assert read["verdict"] == "pass" and len(read["layers"]) == len(report.layers) > 100
    assert read["check"]["metrics"]["psnr_db"] == report.check.metrics.psnr_db
    assert "<iframe" in report._repr_html_() and "verdict  pass" in str(report)
    assert report.weights.changed == [] and report.weights.compared == 188
    assert "came from there" in report.weights.why


def test_same_bits_are_not_said_of_a_layer_that_rounds_otherwise(monkeypatch):
    vae = loaded()
    norm = vae.decoder.conv_norm_out
    right = norm.forward
    monkeypatch.setattr(norm, "forward", lambda x: right(x) + 1e-7)
    report = vae_fidelity.check(vae, PHOTO, same_bits=True, **SIZE)
    assert report.same_bits is False and report.verdict == "pass"


def test_the_picture_comes_first_or_second_and_may_be_a_sample():
    vae = loaded()
    report = vae_fidelity.check(PHOTO, vae, **SIZE)
    pixels = vae_fidelity.preprocess(PHOTO, **SIZE)
    sample = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    for picture in (pixels, sample):
        other = vae_fidelity.check(vae, picture)
        assert other.verdict == report.verdict == "pass" and np.array_equal(other.picture, report.picture)


def test_weights_are_compared_with_another_model():
    vae, other = loaded(), loaded()
    report = vae_fidelity.check(vae, PHOTO, against=other, **SIZE)
    assert report.weights.why == "it was asked for" and report.weights.changed == []
    with torch.no_grad():
        other.quant_conv.bias += 0.5
    report = vae_fidelity.check(vae, PHOTO, against=other, **SIZE)
    assert [each.name for each in report.weights.changed] == ["quant_conv.bias"] and report.verdict == "fail"


def test_a_state_of_training_is_a_warning_unless_it_was_asked_for():
    vae = loaded()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))
    severities = {}
    for against in (None, BUILTIN):
        report = vae_fidelity.check(vae, PHOTO, against=against, **SIZE)
        [found] = [each for each in report.findings if each.code == "live-weights-differ"]
        severities[against] = found.severity
    assert severities == {None: "warning", BUILTIN: "error"}


def test_without_anything_to_compare_with_that_is_said():
    report = vae_fidelity.check(MODELS["AutoencoderTiny"](), PHOTO, **SIZE)
    assert report.weights is None
    assert any("`against`" in each for each in report.not_decided)
    report = vae_fidelity.check(MODELS[OF_CLIPS[0]](), PHOTO, **SIZE)
    assert any("the weights for later frames" in each for each in report.not_decided)
    report = vae_fidelity.check(MODELS[OF_CLIPS[0]](), PHOTO, against=MODELS[OF_CLIPS[0]](), **SIZE)
    assert not any("later frames" in each for each in report.not_decided)


def test_weights_cast_to_16_bits_are_no_finding():
    report = vae_fidelity.check(loaded().half().float(), PHOTO, against=BUILTIN, **SIZE)
    assert not any(each.code == "live-weights-differ" for each in report.findings)


def test_layers_held_in_8_bits_on_purpose_are_a_warning():
    vae = loaded()
    vae.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    [found] = [each for each in report.findings if each.code.startswith("live-")]
    assert (found.code, found.severity) == ("live-weights-differ", "warning") and "float8_e4m3fn" in found.title


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("against, severity", [(BUILTIN, "error"), (None, "warning")])
def test_an_adapter_is_named(merged, against, severity):
    vae = loaded()
    for layer in attached(vae):
        if merged:
            layer.merge()
    report = vae_fidelity.check(vae, PHOTO, against=against, **SIZE)
    [found] = report.findings
    state = "is merged into the weights" if merged else "is active"
    assert (found.code, found.severity, found.layer) == ("live-weights-differ", severity, "encoder.mid_block.attentions.0.to_q")
    assert f"the LoRA adapter 'default' {state} on 4 layers" in found.title and found.title in str(report)
    assert any("on 4 layers" in note for note in report.notes)
    assert [str(adapter) for each in report.weights.changed for adapter in each.adapters] == ["LoRA adapter 'default'"] * 4
    assert "without that the weights are those of golden/models/builtin/vae" in found.title and "disable_adapters" in found.remedy


def test_kinds_of_adapters_are_called_as_peft_calls_them():
    layer = attached(loaded(), "style")[0]
    assert [str(each) for each in adapters.adapters(layer)] == ["LoRA adapter 'style'"]
    layer.use_dora = {"style": True}
    assert [str(each) for each in adapters.adapters(layer)] == ["DoRA adapter 'style'"]
    layer.active_adapters = ["of another layer"]
    assert adapters.adapters(layer) == []

    class LoKrLayer(torch.nn.Module):
        adapter_layer_names = ("lokr_w1",)
        merged_adapters = ("style",)

    class Conv2d(LoKrLayer):
        def __init__(self, base_layer):
            super().__init__()
            self.base_layer, self.lokr_w1 = base_layer, torch.nn.ParameterDict({"style": torch.nn.Parameter(torch.ones(1))})

        def merge(self):
            pass

    assert [str(each) for each in adapters.adapters(Conv2d(torch.nn.Conv2d(1, 1, 1)))] == ["LoKr adapter 'style'"]


def test_an_adapter_hides_no_other_change():
    vae = loaded()
    attached(vae)
    with torch.no_grad():
        vae.decoder.mid_block.attentions[0].to_q.base_layer.weight *= 1.5
        vae.decoder.conv_out.bias += 1
    report = vae_fidelity.check(vae, PHOTO, against=BUILTIN, **SIZE)
    [found] = [each for each in report.findings if each.code.startswith("live-")]
    assert found.title.startswith("decoder.conv_out.bias") or found.title.startswith("decoder.mid_block.attentions.0.to_q.weight")
    assert "1 more of 188; and the LoRA adapter 'default' is active on 3 layers" in found.title


def test_an_adapter_that_is_off_is_none():
    vae = loaded()
    for layer in attached(vae):
        layer.disable_adapters = True
    report = vae_fidelity.check(vae, PHOTO, against=BUILTIN, **SIZE)
    assert report.verdict == "pass" and not report.findings and not report.notes, report


def test_an_adapter_that_cannot_be_merged_is_said(monkeypatch):
    vae = loaded()
    monkeypatch.setattr(type(attached(vae)[0]), "merge", lambda self: 1 / 0)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="the LoRA adapter 'default': peft cannot merge it"):
        vae_fidelity.check(vae, PHOTO, **SIZE)


def test_activations_in_8_bits_are_no_fault_of_a_layer():
    """What is quantised on purpose rounds what it is given as well."""
    report = vae_fidelity.check(held_in(loaded(), Rough), PHOTO, **SIZE)
    assert report.verdict == "pass" and [each.code for each in report.findings] == ["live-weights-differ"], report
    assert any("round as 8 bits do, since weights in them are held in Rough" in note for note in report.notes)
    layers = {layer.name: layer for layer in report.layers}
    assert layers["decoder.mid_block.attentions.0.to_q"].held_in == "Rough"
    assert layers["decoder.conv_in"].held_in is None and layers["decoder.conv_in"].allowed_rms < 1e-4


@pytest.mark.parametrize("threads, severity", [(1, "error"), (2, "warning")])
def test_weights_that_are_written_to_are_the_cause(threads, severity, monkeypatch):
    """By a thread that trains them, which no check can judge; without another thread it is the model that writes."""
    vae = loaded()

    def write(*_):
        with torch.no_grad():
            vae.decoder.conv_out.weight *= 1.1

    vae.decoder.conv_in.register_forward_pre_hook(write)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    [found] = report.findings
    assert (found.code, found.severity, found.layer) == ("live-layer-differs", severity, "decoder.conv_out"), report
    assert "own input: the weights were written to while the model ran" in found.title
    assert any("while nothing trains it" in each for each in report.not_decided) == (threads > 1)


def test_each_layer_is_listed_once_where_the_model_ran_twice(monkeypatch):
    vae = loaded()
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z, *rest, **keywords: right(z * 1.1, *rest, **keywords))
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    names = [layer.name for layer in report.layers]
    assert report.findings[0].layer == "decode" and len(names) == len(set(names))
    for name in ("encoder", "decoder", "decoder.up_blocks.1"):
        assert max(at for at, each in enumerate(names) if each.startswith(f"{name}.")) == names.index(name) - 1


@pytest.mark.parametrize(
    "asked, code, words",
    [
        (lambda vae: vae_fidelity.check(vae), "option", "a picture"),
        (lambda vae: vae_fidelity.check(vae, PHOTO, tiling=True), "option", "`tiling`"),
        (lambda vae: vae_fidelity.check(vae, "absent.png"), "image", "absent.png"),
        (lambda vae: vae_fidelity.check(vae, torch.zeros(2, 3, 32, 32)), "image", "expected one picture, found 2"),
        (lambda vae: vae_fidelity.check(vae, np.zeros((4, 32, 32, 3), np.uint8)), "image", "expected one picture, found 4"),
        (lambda vae: vae_fidelity.check(vae, PHOTO, against="absent"), "option", "absent"),
        (lambda vae: vae_fidelity.check(vae, PHOTO, against=3), "option", "`against`"),
        (lambda vae: vae_fidelity.check(vae.encoder, PHOTO), "option", "expected one of AutoencoderKL"),
        (lambda vae: vae_fidelity.check(vae.to("meta"), PHOTO), "tensor", "meta"),
    ],
)
def test_what_cannot_be_judged_is_said(asked, code, words):
    with pytest.raises(vae_fidelity.VaeFidelityError, match=words) as raised:
        asked(loaded())
    assert raised.value.code == code and raised.value.next


class Own:
    """A VAE of another kind, on torch's tensors."""

    def __init__(self, change=lambda values: values):
        self.vae, self.change = loaded(), change

    def encode(self, sample):
        return self.vae.encode(sample).latent_dist.mode()

    def decode(self, latents):
        return self.change(self.vae.decode(latents).sample)


def test_an_object_with_encode_and_decode_is_judged_by_what_it_makes():
    report = vae_fidelity.check(Own(), PHOTO, against=BUILTIN, **SIZE)
    assert report.verdict == "pass" and [file.agreement for file in report.files] == ["same", "same"], report
    report = vae_fidelity.check(Own(lambda sample: sample.flip(1)), PHOTO, against=loaded(), width=96, height=96)
    assert report.findings[0].code == "channel-swap" and report.verdict == "fail"
    with pytest.raises(vae_fidelity.VaeFidelityError, match="Own: is none of the classes"):
        vae_fidelity.check(Own(), PHOTO)


def test_an_object_is_judged_once(monkeypatch):
    told = []
    right = vae_fidelity.Pipeline.check
    monkeypatch.setattr(vae_fidelity.Pipeline, "check", lambda *given, **asked: (told.append(1), right(*given, **asked))[1])
    report = vae_fidelity.check(Own(), PHOTO, against=BUILTIN)
    assert len(told) == 1 and [file.agreement for file in report.files] == ["same", "same"]


@pytest.mark.slow
def test_memory_after_many_checks_is_what_it_was():
    vae = loaded()

    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(5):
        vae_fidelity.check(vae, PHOTO, width=16, height=16)
    before = resident()
    for _ in range(95):
        vae_fidelity.check(vae, PHOTO, width=16, height=16)
    assert resident() - before < 48 << 20


def test_torch_is_not_imported_for_a_file():
    code = "import sys, vae_fidelity as v; v.check('golden/images/astronaut.png'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_class_that_diffusers_fails_to_encode_in_tiles_is_said_to_fail():
    vae = MODELS["AutoencoderKLHunyuanImage"]()
    vae.enable_tiling(32)
    report = vae_fidelity.check(vae, PHOTO, **SIZE)
    [found] = [each for each in report.findings if each.severity == "error"]
    assert found.code == "live-forward-differs" and found.title.startswith("encode() raised ValueError")
