"""The number of titles that a decoder returns, set to what a command asks for."""

from omegaconf import DictConfig

LENGTH_SETTINGS = ("beams", "k")
"""Settings of the shipped decoders that limit the number of titles."""


def lengthen_lists(decoding: DictConfig, k: int) -> None:
    """Raises the number of titles that a decoder returns to at least `k`; a decoder without such a setting stays as is.

    Args:
        decoding: The resolved config group `decoding`, which is changed.
        k: Number of titles.
    """
    for name in LENGTH_SETTINGS:
        if name in decoding:
            decoding[name] = max(k, decoding[name])
