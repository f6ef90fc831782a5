"""Valid next tokens of a ranking that is written as candidate identifiers: the unused identifiers, then EOS."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Permutations:
    """An implicit trie of all permutations of m identifiers.

    The trie is not stored: a node is the set of identifiers that are not used yet, as the bits of an int64.

    Attributes:
        edge_token: The token of each edge, int64 `[m + 1]`: edge i appends identifier i, the last edge appends EOS.
    """

    edge_token: Tensor

    @staticmethod
    def of(identifiers: Sequence[int], eos: int) -> "Permutations":
        """Builds the trie of all permutations of the given identifier tokens, each followed by EOS."""
        return Permutations(torch.tensor([*identifiers, eos]))

    def to(self, device: torch.device | str) -> "Permutations":
        """Returns a copy on another device."""
        return replace(self, edge_token=self.edge_token.to(device))

    @property
    def max_fan_out(self) -> int:
        """The largest number of valid tokens at any node: m."""
        return len(self.edge_token) - 1

    def fan_out_at(self, nodes: Tensor) -> Tensor:
        """Returns the number of valid tokens at each of `nodes` (int64 `[n]`) as int64 `[n]`."""
        return self._valid(nodes).sum(1)

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Lists the edges of all `nodes` (int64 `[n]`).

        Returns:
            owner, edge: As `Trie.children` returns them, int64 `[edges]` each.
        """
        owner, edge = torch.nonzero(self._valid(nodes)).unbind(1)
        return owner, edge

    def _valid(self, nodes: Tensor) -> Tensor:
        unused = (nodes[:, None] >> torch.arange(self.max_fan_out, device=nodes.device)) & 1
        return torch.cat([unused == 1, (nodes == 0)[:, None]], dim=1)
