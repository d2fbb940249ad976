"""The package beside torch, diffusers and Pillow: their pictures and tensors are taken as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
import vae_fidelity
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

ROOT = Path(__file__).parents[3]
PHOTO = ROOT / "golden/images/astronaut.png"


@pytest.fixture(scope="module")
def pipeline():
    return vae_fidelity.Pipeline("builtin")


def test_a_pil_image_is_judged_as_its_file(pipeline):
    image = Image.open(PHOTO)
    of_image, of_file = pipeline.check(image), pipeline.check(PHOTO)
    assert of_image.metrics == of_file.metrics and of_image.input.path == str(PHOTO)
    converted = pipeline.check(image.convert("RGBA"))
    assert converted.metrics == of_file.metrics and any("alpha is left out" in note for note in converted.notes)
    turned = image.copy()
    turned.getexif()[0x0112] = 6
    assert any("EXIF" in note for note in pipeline.check(turned).notes)


def test_frames_as_pipelines_have_them_are_a_clip():
    wan = vae_fidelity.Pipeline(ROOT / "golden/wan/models/wan-small")
    photo = Image.open(PHOTO).convert("RGB")
    images = [photo.crop((8 * number, 0, 8 * number + 40, 32)) for number in range(5)]
    video = torch.stack([torch.from_numpy(np.array(image)) for image in images]).permute(3, 0, 1, 2)[None] / 127.5 - 1
    of_images, of_video = wan.check(images, frames=5), wan.check(video, frames=5)
    assert np.allclose(of_images.clip_latents_array, of_video.clip_latents_array, atol=1e-4)
    assert len({frame.psnr_db for frame in of_images.clip.metrics}) == 5
    assert of_images.input.path == "list of 5 PIL.Image" and of_video.input.path == "torch.Tensor"


def test_preprocess_gives_pillow_s_bytes():
    ours = vae_fidelity.preprocess(PHOTO, width=72, height=56)
    theirs = np.asarray(Image.open(PHOTO).convert("RGB").resize((72, 56), Image.BICUBIC))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_sample_of_diffusers_image_processor_is_taken(pipeline, dtype):
    sample = VaeImageProcessor().preprocess(Image.open(PHOTO)).to(dtype).requires_grad_()
    report = pipeline.check(sample)
    assert report.verdict == "pass" and report.input.path == "torch.Tensor"
    if dtype == torch.float32:
        assert report.metrics == pipeline.check(PHOTO).metrics
    assert sample.requires_grad and sample.dtype == dtype


def test_what_diffusers_makes_of_the_same_weights_is_within_the_engine_s_error():
    folder = ROOT / "tests/fixtures/models/eight-channel/vae"
    vae = AutoencoderKL.from_pretrained(folder).eval()
    pixels = vae_fidelity.preprocess(PHOTO, width=64, height=64)
    sample = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        latents = vae.encode(sample).latent_dist.mode() * vae.config.scaling_factor
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    picture = ((decoded / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    report = vae_fidelity.check(pixels, folder, latents=latents, decoded_image=picture, preprocessed=sample)
    assert [file.agreement for file in report.files] == ["same"] * 3, report.files
    assert np.abs(report.latents_array - latents.numpy()).max() < 1e-3
    # What decode() gives is taken as it is, and clamped.
    for floats in (decoded, decoded[0].half().float(), decoded.double().numpy()):
        of_floats = vae_fidelity.check(pixels, folder, decoded_image=floats)
        assert [file.agreement for file in of_floats.files] == ["same"], of_floats.files
        [of_latents] = vae_fidelity.Pipeline(folder).decode(latents, decoded_image=floats)
        assert of_latents.verdict == "pass"
    for wrong, words in (
        (decoded * float("nan"), "holds NaN"),
        (picture.astype(np.float32) / 255, r"expected uint8 \(H, W, 3\) or floats \(3, H, W\)"),
    ):
        with pytest.raises(vae_fidelity.VaeFidelityError, match=words):
            vae_fidelity.check(pixels, folder, decoded_image=wrong)
    halved = vae_fidelity.check(pixels, folder, latents=latents / 2)
    assert "scaling-factor-mismatch" in [finding.code for finding in halved.findings]
