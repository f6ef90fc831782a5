"""Prints what tuning takes on a GPU by backbone: memory and seconds, estimated from shapes and counted work.

python experiments/gpu/estimates.py

MSL with LoRA on Books: 10,000 rows an epoch, of 111 tokens each beside 67 that all rows share. Work: 4 N a token (a
forward pass, and the gradients of activations; frozen weights have none) with N the weights of the layers, and
attention. Seconds: at the MFU that the shape of Llama-3.2-1B had on an H200 (experiments/results/gpu_h200), and no less
than the launches of a step took there.
"""

from dataclasses import dataclass

PEAK_FLOPS, MFU = 989e12, 0.133
LAUNCH_SECONDS = 0.153 / 16
"""Of a layer's forward and backward pass."""
EPOCH_ROWS, STEP_ROWS, ROW_TOKENS = 10_000, 128, 111
GIB = 1 << 30


@dataclass(frozen=True)
class Shape:
    """A backbone as its published config says."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    tied: bool

    @property
    def layer_weights(self) -> int:
        """Weights of all layers' matrices."""
        attention = 2 * self.hidden * self.head_size * (self.heads + self.key_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def weights(self) -> int:
        """All weights: layers, embeddings, and the head where it has its own."""
        return self.layer_weights + (1 if self.tied else 2) * self.vocabulary * self.hidden

    @property
    def activations(self) -> float:
        """Bytes that a token keeps for the backward pass, as llmrec.backbones.memory estimates them."""
        values = 6 * self.hidden + (3 * self.heads + 4 * self.key_heads) * self.head_size + 4 * self.inner
        return self.layers * (2 * values + 16 * self.hidden) + 10 * self.vocabulary / 8

    @property
    def epoch_flops(self) -> float:
        """Floating-point operations of an epoch."""
        attention = 2 * 2 * self.layers * self.heads * self.head_size * (67 + ROW_TOKENS / 2) * 2
        return EPOCH_ROWS * ROW_TOKENS * (4 * self.layer_weights + attention)


SHAPES = {
    "smollm2-135m": Shape(576, 1536, 30, 9, 3, 64, 49_152, tied=True),
    "qwen2.5-0.5b": Shape(896, 4864, 24, 14, 2, 64, 151_936, tied=True),
    "llama3.2-1b": Shape(2048, 8192, 16, 32, 8, 64, 128_256, tied=True),
    "llama3.2-3b": Shape(3072, 8192, 28, 24, 8, 128, 128_256, tied=True),
    "llama3-8b": Shape(4096, 14336, 32, 32, 8, 128, 128_256, tied=False),
}


def main() -> None:
    """Prints a Markdown table."""
    print("| backbone | weights, bf16 | a step of 128 rows at once | work an epoch | an epoch |")
    print("|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        weights, step = 2 * shape.weights / GIB, STEP_ROWS * ROW_TOKENS * shape.activations / GIB
        launches = EPOCH_ROWS / STEP_ROWS * shape.layers * LAUNCH_SECONDS
        seconds = max(shape.epoch_flops / (MFU * PEAK_FLOPS), launches)
        print(
            f"| {name} | {weights:.1f} GiB | {step:.0f} GiB | {shape.epoch_flops / 1e12:,.0f} TFLOP | {seconds:.0f} s |"
        )


if __name__ == "__main__":
    main()
