"""A model in memory: planted faults are found with their layers, sound models have none, and nothing is changed."""

from pathlib import Path

import live_faults
import pytest
import vae_fidelity
from diffusers import AutoencoderKL
from live_models import BUILTIN, DTYPES, MODELS, WAYS

PHOTO = "golden/images/astronaut.png"

# Rows of the list that are not found as it says, with the reason.
MISSED: dict[str, str] = {}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])


@pytest.mark.parametrize("fault", live_faults.FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_named_with_its_layer(fault, monkeypatch):
    vae = AutoencoderKL.from_pretrained(BUILTIN)
    fault.plant(vae, monkeypatch)
    report = vae_fidelity.check(vae, PHOTO, width=96, height=96, against=BUILTIN)
    first = next((each for each in report.findings if each.severity != "info"), None)
    is_named = first is not None and first.code in fault.codes and fault.layer in (None, first.layer)
    assert is_named != (fault.name in MISSED), report


def test_the_list_is_as_long_as_is_claimed():
    assert len(live_faults.FAULTS) >= 25 and len(MISSED) <= len(live_faults.FAULTS) - 24
    assert set(MISSED) <= {fault.name for fault in live_faults.FAULTS}


# Classes that amplify rounding, and dtypes, take turns: a hundred runs of a few seconds.
SOUND = [
    (model, way, dtype)
    for at, model in enumerate(MODELS)
    for way in WAYS
    for dtype in (DTYPES if at < 2 else (DTYPES[at % 3], DTYPES[(at + 1) % 3]))
    # diffusers refuses it.
    if (model, way) != ("AsymmetricAutoencoderKL", "sliced")
]


@pytest.mark.parametrize("model, way, dtype", SOUND, ids=lambda each: str(each).removeprefix("torch."))
def test_a_sound_model_has_no_errors(model, way, dtype):
    vae = MODELS[model]().to(dtype)
    report = vae_fidelity.check(WAYS[way](vae), PHOTO, width=48, height=32)
    live = [each for each in report.findings if each.code.startswith("live-")]
    assert not live and len(report.layers) > 20, report
    assert not any(layer.differs for layer in report.layers)


def test_there_are_a_hundred_sound_runs():
    assert len(SOUND) >= 100
