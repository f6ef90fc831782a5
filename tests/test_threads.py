"""How long OpenMP's threads wait actively."""

import os

import pytest

from llmrec.threads import limit_spinning


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        # It would take precedence over the policy.
        ({"OMP_WAIT_POLICY": "PASSIVE"}, None),
    ],
)
def test_the_environment_decides(given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what is set here is removed at the end.
    monkeypatch.setattr(os, "environ", dict(given))
    limit_spinning()
    assert os.environ.get("GOMP_SPINCOUNT") == found
