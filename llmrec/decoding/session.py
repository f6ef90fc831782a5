"""What a beam search asks of a model: states after the prompts, then states of tokens that continue some beam."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.backbones.probe import layer_count


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
    """Prompts are run once, not once a beam; beams are query positions of their prompt's row."""

    def __init__(self, backbone: Backbone, shared: SharedPrefix, prompts: Sequence[np.ndarray], columns: int) -> None:
        """columns: how many positions will be appended at most."""
        self.backbone, self.shared = backbone, shared
        self.start = len(shared.tokens)
        self.lengths = torch.tensor([len(prompt) for prompt in prompts], device=backbone.device)
        self.prompts = prompts
        width = int(self.lengths.max())
        self.cache = AppendCache(layer_count(backbone), len(prompts), width + columns, shared.cache)
        columns_ = torch.arange(width, device=backbone.device)
        self.visible = (columns_ < self.lengths[:, None])[:, None]
        """bool [rows, beams, cached columns]: what each beam's newest token sees."""
        self.step = 0

    def prefill(self, last: int) -> Encoded:
        """States of the last `last` tokens of every prompt, [rows * last]."""
        rest = [prompt[self.start :] for prompt in self.prompts]
        width = max(map(len, rest))
        tokens = np.zeros((len(rest), width), dtype=np.int64)
        for r, prompt in enumerate(rest):
            tokens[r, : len(prompt)] = prompt
        device = self.backbone.device
        columns = torch.arange(self.start + width, device=device)
        causal = None if self.start == 0 else (columns <= columns[self.start :, None])[None]
        hidden = self.backbone.extend(
            self.cache, torch.from_numpy(tokens).to(device), columns[None, self.start :], causal
        )
        at = (self.lengths - self.start - last)[:, None] + torch.arange(last, device=device)
        rows = torch.arange(len(rest), device=device)[:, None]
        return Encoded(self.backbone.head, hidden[rows, at].flatten(0, 1))

    def extend(self, tokens: Tensor, parent: Tensor) -> Encoded:
        """States of `tokens` [rows, beams] that continue the beams `parent` [rows, beams] of the step before."""
        rows, beams = tokens.shape
        own = torch.eye(beams, dtype=torch.bool, device=tokens.device).expand(rows, -1, -1)
        inherited = self.visible.gather(1, parent[:, :, None].expand(-1, -1, self.visible.shape[2]))
        self.visible = torch.cat([inherited, own], dim=2)
        positions = (self.lengths + self.step)[:, None].expand(-1, beams)
        self.step += 1
        return Encoded(
            self.backbone.head, self.backbone.extend(self.cache, tokens, positions, self.visible).flatten(0, 1)
        )


class PlainSession:
    """The same for a backbone on the plain path: every beam is run again from its prompt at each step."""

    def __init__(self, backbone: Backbone, prompts: Sequence[np.ndarray]) -> None:
        self.backbone, self.prompts = backbone, prompts
        self.beams = torch.zeros((len(prompts), 1, 0), dtype=torch.long)

    def prefill(self, last: int) -> Encoded:
        """States of the last `last` tokens of every prompt, [rows * last]."""
        packed, _ = pack(self.prompts, [[] for _ in self.prompts])
        width = packed.tokens.shape[1]
        at = [r * width + len(prompt) - last + i for r, prompt in enumerate(self.prompts) for i in range(last)]
        return self.backbone.encode(packed.to(self.backbone.device), torch.tensor(at, device=self.backbone.device))

    def extend(self, tokens: Tensor, parent: Tensor) -> Encoded:
        """States of `tokens` [rows, beams] that continue the beams `parent` [rows, beams] of the step before."""
        parent, new = parent.cpu(), tokens.cpu()[:, :, None]
        self.beams = torch.cat(
            [self.beams.gather(1, parent[:, :, None].expand(-1, -1, self.beams.shape[2])), new], dim=2
        )
        packed, starts = pack(self.prompts, [list(row.numpy()) for row in self.beams])
        last = np.array(self.beams.shape[2])
        at = np.concatenate([predictor_columns(row, last) for row in starts])
        return self.backbone.encode(packed.to(self.backbone.device), torch.from_numpy(at).to(self.backbone.device))
