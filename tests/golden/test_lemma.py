"""-log NDCG <= MSL <= LML, and what it rests on: the code's losses against the formulas in plain NumPy."""

import numpy as np
import pytest

from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from tests.golden import plain
from tests.golden.catalogue import code_losses, random_model, random_titles
from tests.golden.plain import Model, Title

pytestmark = pytest.mark.parametrize("seed", range(5))
TOLERANCE = 1e-4


def drawn(seed: int) -> tuple[list[Title], Model]:
    titles = random_titles(seed)
    return titles, random_model(titles, seed)


def log_ndcg(rank: np.ndarray) -> np.ndarray:
    return -np.log(np.log2(1 + rank))


def test_msl_is_the_formula(seed: int) -> None:
    titles, model = drawn(seed)
    for tau in (0.5, 1.0, 4.5):
        expected = [plain.msl(model, titles, title, tau) for title in titles]
        assert code_losses(MSL(temperature=tau), titles, model).tolist() == pytest.approx(expected, abs=TOLERANCE)


def test_sft_is_the_language_modelling_loss(seed: int) -> None:
    titles, model = drawn(seed)
    expected = [plain.lml(model, title) for title in titles]
    assert code_losses(SFT(), titles, model).tolist() == pytest.approx(expected, abs=TOLERANCE)


def test_the_language_modelling_loss_is_msl_and_the_mass_of_valid_tokens(seed: int) -> None:
    titles, model = drawn(seed)
    mass = [plain.valid_mass(model, titles, title) for title in titles]
    difference = code_losses(SFT(), titles, model) - code_losses(MSL(temperature=1.0), titles, model)
    assert difference.tolist() == pytest.approx(mass, abs=TOLERANCE)
    assert float(difference.min()) >= 0


def test_the_probabilities_of_all_titles_sum_to_one(seed: int) -> None:
    titles, model = drawn(seed)
    losses = code_losses(MSL(temperature=1.0), titles, model)
    assert float((-losses).exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_msl_bounds_the_rank_and_the_ndcg_of_every_title(seed: int) -> None:
    titles, model = drawn(seed)
    losses = code_losses(MSL(temperature=1.0), titles, model).numpy()
    # Ranked exhaustively by the probabilities of the formula.
    probability = np.array([np.exp(-plain.msl(model, titles, title)) for title in titles])
    rank = (probability[None, :] >= probability[:, None]).sum(axis=1)
    assert sorted(rank) == list(range(1, len(titles) + 1))
    assert (losses >= np.log(rank) - TOLERANCE).all()
    assert (losses >= -log_ndcg(rank) - TOLERANCE).all()
