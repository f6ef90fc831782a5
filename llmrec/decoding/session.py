"""What a beam search asks of a model: states after the prompts, then states of tokens that continue some branch."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import Packed, pack, predictor_columns
from llmrec.backbones.probe import layer_count


class Session(Protocol):
    """A batch of prompts in a model, each with one branch, empty at first, that is continued and forked."""

    def states(self, place: Tensor) -> Encoded:
        """States at places (int64 [N]) that `start` and `extend` named."""
        ...

    def start(self, last: int) -> Tensor:
        """Runs the prompts; int64 [rows, 1], the place of the first of each one's `last` last tokens, in a row."""
        ...

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Replaces each row's branches by continuations: branch int64 [rows, beams], which of the old it continues.

        tokens int64 [rows, beams, longest], lengths int64 [rows, beams]: what is appended, which may be nothing.
        Returns int64 [rows, beams], the place of the first of each one's appended tokens; the others follow it.
        """
        ...


class SharedPrefix:
    """The tokens that all prompts begin with, run through the model once for all users."""

    def __init__(self, backbone: Backbone, tokens: np.ndarray) -> None:
        self.tokens = tokens
        self.cache: AppendCache | None = None
        if len(tokens) and not backbone.plain:
            self.cache = AppendCache(layer_count(backbone), rows=1, capacity=len(tokens))
            ids = torch.from_numpy(tokens.astype(np.int64))[None].to(backbone.device)
            backbone.extend(self.cache, ids, torch.arange(len(tokens), device=backbone.device)[None], None)


class CachedSession:
    """Prompts are run once, not once a beam; branches lie one after another in their prompt's row of the cache."""

    def __init__(self, backbone: Backbone, shared: SharedPrefix, prompts: Sequence[np.ndarray], columns: int) -> None:
        """columns: how many positions will be appended, about; the cache grows if it must."""
        self.backbone, self.shared, self.prompts = backbone, shared, prompts
        device = backbone.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        width = int(lengths.max())
        self.cache = AppendCache(layer_count(backbone), len(prompts), width + columns, shared.cache)
        self.visible = (torch.arange(width, device=device) < lengths[:, None])[:, None]
        """bool [rows, branches, cached columns]: what each branch's next token sees."""
        self.rows = torch.arange(len(prompts), device=device)[:, None]

    def states(self, place: Tensor) -> Encoded:
        """As Session.states."""
        return Encoded(self.backbone.head, self.hidden[place])

    def start(self, last: int) -> Tensor:
        """As Session.start."""
        begin = len(self.shared.tokens)
        rest = [torch.from_numpy(prompt[begin:].astype(np.int64)) for prompt in self.prompts]
        tokens = torch.nn.utils.rnn.pad_sequence(rest, batch_first=True).to(self.backbone.device)
        columns = torch.arange(self.visible.shape[2], device=tokens.device)
        causal = None if begin == 0 else (columns <= columns[begin:, None])[None]
        hidden = self.backbone.extend(self.cache, tokens, columns[None, begin:], causal)
        lengths = self.visible.sum(2)
        kept = lengths - begin - last + torch.arange(last, device=tokens.device)
        self.hidden = hidden[self.rows, kept].flatten(0, 1)
        return self.rows * last

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """As Session.extend."""
        beams, longest = tokens.shape[1:]
        inherited = self.visible[self.rows, branch]
        # Rows without anything new sit out.
        fed = torch.nonzero(lengths.sum(1))[:, 0]
        tokens, seen, count = tokens[fed], inherited[fed], lengths[fed]
        rows = self.rows[: len(fed)]
        end = count.cumsum(1)
        column = torch.arange(int(end[:, -1].max()), device=tokens.device).expand(len(fed), -1).contiguous()
        # Columns behind a row's last branch are padding: they see the padding before them and some branch's prompt.
        owner = torch.searchsorted(end, column, right=True)
        of = owner.clamp(max=beams - 1)
        within = column - (end - count).gather(1, of)
        own = (owner[:, :, None] == owner[:, None]) & (column[:, None] <= column[:, :, None])
        self.cache.append_to(None if len(fed) == len(branch) else fed)
        hidden = self.backbone.extend(
            self.cache,
            tokens[rows, of, within.clamp(max=longest - 1)],
            seen.sum(2).gather(1, of) + within,
            torch.cat([seen[rows, of], own], dim=2),
        )
        mine = inherited.new_zeros((*branch.shape, column.shape[1]))
        mine[fed] = owner[:, None] == torch.arange(beams, device=owner.device)[:, None]
        self.visible = torch.cat([inherited, mine], dim=2)
        place = torch.zeros_like(branch)
        place[fed] = len(self.hidden) + rows * column.shape[1] + end - count
        self.hidden = torch.cat([self.hidden, hidden.flatten(0, 1)])
        return place


class PlainSession:
    """The same for a backbone on the plain path: every continued branch is run again from its prompt."""

    def __init__(self, backbone: Backbone, prompts: Sequence[np.ndarray]) -> None:
        self.backbone, self.prompts = backbone, prompts
        self.branches = [[prompt[:0]] for prompt in prompts]

    def states(self, place: Tensor) -> Encoded:
        """As Session.states."""
        return Encoded(self.backbone.head, None, self.logits[place])

    def start(self, last: int) -> Tensor:
        """As Session.start."""
        packed, _ = pack(self.prompts, [[] for _ in self.prompts])
        ends = np.arange(len(self.prompts)) * packed.tokens.shape[1] + [len(prompt) for prompt in self.prompts]
        self.logits = self._run(packed, (ends[:, None] - last + np.arange(last)).flatten())
        return torch.arange(len(self.prompts), device=self.backbone.device)[:, None] * last

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """As Session.extend."""
        new = [
            [row[:n] for row, n in zip(*of, strict=True)]
            for of in zip(tokens.cpu().numpy(), lengths.tolist(), strict=True)
        ]
        self.branches = [
            [np.concatenate([old[b], fed]) for b, fed in zip(chosen, row, strict=True)]
            for old, chosen, row in zip(self.branches, branch.tolist(), new, strict=True)
        ]
        packed, starts = pack(self.prompts, self.branches)
        at = [
            predictor_columns(start, len(whole) - len(fed) + 1 + np.arange(len(fed)))
            for of in zip(starts, self.branches, new, strict=True)
            for start, whole, fed in zip(*of, strict=True)
        ]
        end = len(self.logits) + lengths.flatten().cumsum(0).view_as(lengths)
        self.logits = torch.cat([self.logits, self._run(packed, np.concatenate(at))])
        return end - lengths

    def _run(self, packed: Packed, at: np.ndarray) -> Tensor:
        device = self.backbone.device
        return self.backbone.encode(packed.to(device), torch.from_numpy(at).to(device)).states
