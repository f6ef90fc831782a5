"""Random models of real shapes, and the lines that the stages of the check print and keep."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from llmrec.backbones.adapters import add_adapter
from llmrec.backbones.backbone import Backbone

SMALL = bool(os.environ.get("SMALL"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
OUT = Path(os.environ.get("OUT", "."))
LORA = OmegaConf.create(
    {"name": "lora", "eight_bit": False, "rank": 8, "alpha": 16, "dropout": 0.05, "modules": ["q_proj", "v_proj"]}
)
LLAMA_1B = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64,
}  # fmt: skip
TWO_LAYERS = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip


def random_backbone(tokenizer: PreTrainedTokenizerBase, adapted: bool) -> Backbone:
    """A Llama of Llama-3.2-1B's shape with random bfloat16 weights (SMALL: two layers), LoRA as in the papers."""
    torch.manual_seed(0)
    shape = TWO_LAYERS if SMALL else LLAMA_1B
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        **shape,
    )
    with torch.device(DEVICE):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    backbone = Backbone(add_adapter(model, LORA) if adapted else model, tokenizer)
    backbone.autocast_dtype = torch.bfloat16
    return backbone


def layer_parameters(backbone: Backbone) -> int:
    """Weights of the layers: all but embeddings, head and adapter."""
    layers = backbone.causal_lm.get_decoder().layers
    return sum(weight.numel() for name, weight in layers.named_parameters() if "lora_" not in name)


def keep(stage: str, figures: dict[str, Any]) -> None:
    """Prints the figures as one JSON line and appends it to the stage's file."""
    line = json.dumps(figures)
    print(line, flush=True)
    with open(OUT / f"{stage}.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def synchronize() -> None:
    """Waits for the GPU, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak_gib() -> float:
    """Peak of allocated GPU memory since it was reset, 0 on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else 0.0
