"""The pytest plugin: `assert_vae_matches` and `assert_golden` as fixtures, with the report in the failure's text.

pytest loads it by itself where the package is installed; the package is imported when a test asks for one of them.
"""

from __future__ import annotations

from typing import Any, Callable

import pytest

pytest.register_assert_rewrite("vae_fidelity.testing")


@pytest.fixture
def assert_vae_matches() -> Callable[..., Any]:
    """`vae_fidelity.testing.assert_vae_matches`."""
    from vae_fidelity.testing import assert_vae_matches

    return assert_vae_matches


@pytest.fixture
def assert_golden() -> Callable[..., Any]:
    """`vae_fidelity.testing.assert_golden`."""
    from vae_fidelity.testing import assert_golden

    return assert_golden
