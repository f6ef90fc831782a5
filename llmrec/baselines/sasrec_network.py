"""The network of SASRec (Kang and McAuley, ICDM 2018, arXiv 1808.09781): self-attention over a history's items."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """A pre-norm transformer layer: causal self-attention and a feed-forward network, both with a residual."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, Dropout(dropout)
        self.attention_norm, self.forward_norm = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.query, self.key_value = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, 2 * hidden_size)
        self.merge = nn.Linear(hidden_size, hidden_size)
        self.widen, self.narrow = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(self, states: Tensor, attention_mask: Tensor, positions: int) -> Tensor:
        """Computes the new hidden states of the last `positions` positions.

        Args:
            states: Hidden states, [rows, length, hidden].
            attention_mask: Which position may attend to which, bool [rows, 1, length, length].
            positions: Number of positions to compute.

        Returns:
            [rows, positions, hidden].
        """
        attended = self._attend(self.attention_norm(states), attention_mask[:, :, -positions:], positions)
        states = states[:, -positions:] + self.drop(self.merge(attended))
        activations = self.drop(functional.gelu(self.widen(self.forward_norm(states))))
        return states + self.drop(self.narrow(activations))

    def _attend(self, states: Tensor, attention_mask: Tensor, positions: int) -> Tensor:
        query = self.query(states[:, -positions:]).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(states).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        return attended.transpose(1, 2).flatten(2)


class Dropout(nn.Module):
    """Dropout with uniform random numbers.

    On a CPU they are drawn more than twice as fast as the mask of nn.Dropout, which took 40 % of an epoch.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, states: Tensor) -> Tensor:
        """In training, zeroes elements with the given probability and scales the others by 1 / (1 - probability)."""
        if not self.training:
            return states
        return states * (torch.rand_like(states) >= self.probability) / (1 - self.probability)


class Network(nn.Module):
    """Encodes padded histories and scores all items; input and output item embeddings are shared.

    Positions are counted from the end of the padded history, so that padding does not shift them.

    Attributes:
        padding: Index of the padding item, which is the number of items.
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
        """Returns the hidden state after the last item of each history.

        Args:
            histories: Item indices, left-padded with `padding`, int64 [rows, length].

        Returns:
            [rows, hidden].
        """
        length = histories.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=histories.device).tril()
        # Padding attends to itself, because attention over no position at all would give NaN.
        diagonal = torch.eye(length, dtype=torch.bool, device=histories.device)
        attention_mask = (causal & (histories != self.padding)[:, None, None, :]) | diagonal
        states = self.drop(self.item(histories) * self.item.embedding_dim**0.5 + self.position.weight)
        for block in self.blocks:
            # Only the last position of the last block is used.
            states = block(states, attention_mask, positions=1 if block is self.blocks[-1] else length)
        return self.norm(states[:, -1])

    def scores(self, states: Tensor) -> Tensor:
        """Scores all items: hidden states [n, hidden] to scores [n, items]."""
        items = functional.normalize(self.item.weight[: self.padding], dim=1)
        return (functional.normalize(states, dim=1) / self.temperature) @ items.T
