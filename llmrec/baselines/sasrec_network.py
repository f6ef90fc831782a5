"""The network of SASRec (Kang and McAuley, ICDM 2018): self-attention over the items of a history."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """A layer of causal self-attention and a feed-forward network, each normalised before and added after."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, Dropout(dropout)
        self.attention_norm, self.forward_norm = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.query, self.key_value = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, 2 * hidden_size)
        self.merge = nn.Linear(hidden_size, hidden_size)
        self.widen, self.narrow = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(self, states: Tensor, attended: Tensor, wanted: int) -> Tensor:
        """The new states of the latest `wanted` positions, [rows, wanted, hidden].

        states: [rows, length, hidden]; attended: bool [rows, 1, length, length], which position may read which.
        """
        read = self._attend(self.attention_norm(states), attended[:, :, -wanted:], wanted)
        states = states[:, -wanted:] + self.drop(self.merge(read))
        wide = self.drop(functional.gelu(self.widen(self.forward_norm(states))))
        return states + self.drop(self.narrow(wide))

    def _attend(self, states: Tensor, attended: Tensor, wanted: int) -> Tensor:
        query = self.query(states[:, -wanted:]).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(states).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        return mixed.transpose(1, 2).flatten(2)


class Dropout(nn.Module):
    """nn.Dropout by uniform numbers, which a CPU draws more than twice as fast: it took 40 % of an epoch."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, states: Tensor) -> Tensor:
        """Sets a share of the numbers to 0 in training, and the rest so much higher."""
        if not self.training:
            return states
        return states * (torch.rand_like(states) >= self.share) / (1 - self.share)


class Network(nn.Module):
    """Reads padded histories and scores all items with the embeddings that it reads them by.

    Positions are counted from the end, so that a history is read alike whatever stands before it.
    """

    def __init__(
        self, items: int, length: int, hidden_size: int, layers: int, heads: int, dropout: float, temperature: float
    ) -> None:
        super().__init__()
        self.padding, self.temperature, self.drop = items, temperature, Dropout(dropout)
        self.item = nn.Embedding(items + 1, hidden_size)
        self.position = nn.Embedding(length, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden_size)
        for embedding in (self.item, self.position):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, histories: Tensor) -> Tensor:
        """histories: int64 [rows, length], padding first; returns the state after the last item, [rows, hidden]."""
        length = histories.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=histories.device).tril()
        # A position that reads nothing would be NaN, so padding reads itself.
        itself = torch.eye(length, dtype=torch.bool, device=histories.device)
        attended = (causal & (histories != self.padding)[:, None, None, :]) | itself
        states = self.drop(self.item(histories) * self.item.embedding_dim**0.5 + self.position.weight)
        for block in self.blocks:
            # Nothing reads what the last block would make of earlier positions.
            states = block(states, attended, wanted=1 if block is self.blocks[-1] else length)
        return self.norm(states[:, -1])

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items, [n, items], from states, [n, hidden]."""
        items = functional.normalize(self.item.weight[: self.padding], dim=1)
        return (functional.normalize(states, dim=1) / self.temperature) @ items.T
