"""Label noise: a smoothing factor per pair is robust to mislabeled pairs, DPO fits them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llmrec.objectives.dpo import DPO
from llmrec.objectives.oracle import SASRecOracle
from llmrec.objectives.rejected.popularity import Popularity
from llmrec.objectives.rosepo import RosePO

FEATURES, PAIRS, STEPS, SEEDS = 40, 150, 200, 4


@pytest.fixture(scope="module")
def accuracy() -> dict[float, tuple[float, float]]:
    """For each share of flipped pairs, the accuracy of a linear reward on unseen pairs, trained by DPO and RosePO."""
    found = {}
    for share in (0.0, 0.2, 0.4):
        runs = torch.tensor([tuned(share, seed) for seed in range(SEEDS)])
        dpo, rosepo = runs.mean(dim=0).tolist()
        found[share] = (dpo, rosepo)
    return found


def test_flipped_pairs_hurt_both(accuracy: dict[float, tuple[float, float]]) -> None:
    for tuned_by in (0, 1):
        assert accuracy[0.0][tuned_by] > accuracy[0.2][tuned_by] > accuracy[0.4][tuned_by] > 0.5


def test_the_lead_of_smoothing_grows_with_the_share_of_flipped_pairs(
    accuracy: dict[float, tuple[float, float]],
) -> None:
    lead = {share: rosepo - dpo for share, (dpo, rosepo) in accuracy.items()}
    assert lead[0.4] > lead[0.2] > lead[0.0]
    assert lead[0.2] > 0.05


def tuned(share: float, seed: int) -> tuple[float, float]:
    """Returns the accuracy of DPO and RosePO on the same pairs; the oracle sees a noisy margin of the true reward."""
    generator = torch.Generator().manual_seed(seed)
    truth, pairs = torch.randn(FEATURES, generator=generator), torch.randn(PAIRS, FEATURES, generator=generator)
    margin = 2 * pairs @ truth / FEATURES**0.5
    sign = torch.where(torch.rand(PAIRS, generator=generator) < share, -1.0, 1.0)
    # Correctly labeled, except for the flipped pairs.
    pairs = pairs * torch.sign(margin)[:, None] * sign[:, None]
    believed = margin.abs() * sign + 0.5 * torch.randn(PAIRS, generator=generator)
    dpo, rosepo = DPO(Popularity()), RosePO(Popularity(), SASRecOracle())
    dpo.reference = torch.zeros(())
    rosepo.eps = torch.sigmoid(-2 * believed).clamp(max=0.5)
    unseen = torch.randn(2000, FEATURES, generator=generator)

    def right(losses: Callable[[Tensor, Tensor], Tensor]) -> float:
        reward = descend(losses, pairs)
        return float(((unseen @ reward > 0) == (unseen @ truth > 0)).float().mean())

    return right(dpo.losses), right(rosepo.losses)


def descend(losses: Callable[[Tensor, Tensor], Tensor], pairs: Tensor) -> Tensor:
    """Trains a linear reward on pairs, float32 [pairs, features]: features of the chosen minus of the rejected."""
    reward = torch.zeros(FEATURES, requires_grad=True)
    optimizer = torch.optim.Adam([reward], lr=0.05)
    for _ in range(STEPS):
        ahead = pairs @ reward
        loss = losses(torch.stack([ahead, torch.zeros_like(ahead)], dim=1), torch.arange(len(pairs))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reward.detach()
