"""What may follow in a ranking written as identifiers: those not yet written, then EOS."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Permutations:
    """The trie of all orders of m identifiers, never laid out: a node is the set of those left, as bits of an int.

    edge_token: int64 [m + 1], the token of each edge: edge i writes identifier i, the last one is EOS.
    """

    edge_token: Tensor

    @staticmethod
    def of(identifiers: Sequence[int], eos: int) -> "Permutations":
        """All orders of some tokens, then EOS."""
        return Permutations(torch.tensor([*identifiers, eos]))

    def to(self, device: torch.device | str) -> "Permutations":
        """The same on another device."""
        return replace(self, edge_token=self.edge_token.to(device))

    @property
    def widest(self) -> int:
        """The largest fan-out."""
        return len(self.edge_token) - 1

    def fan_out_at(self, nodes: Tensor) -> Tensor:
        """int64 [n]: number of valid tokens at each node."""
        return self._valid(nodes).sum(1)

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The edges of each node, flat: (owner, edge), int64, as `Trie.children`."""
        owner, edge = torch.nonzero(self._valid(nodes)).unbind(1)
        return owner, edge

    def _valid(self, nodes: Tensor) -> Tensor:
        left = (nodes[:, None] >> torch.arange(self.widest, device=nodes.device)) & 1
        return torch.cat([left == 1, (nodes == 0)[:, None]], dim=1)
