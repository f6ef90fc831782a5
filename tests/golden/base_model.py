"""The base model of the golden runs: a random Llama of 15,000 parameters and its tokenizer.

Nothing of llmrec is used, and the weights are drawn by NumPy: they stay the same when llmrec, torch or transformers
change how they initialise or pretrain a model.
"""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY_SIZE = 600
WEIGHT_STD = 0.2
"""Large enough that titles differ in their scores."""
TEXT = """
Below is an instruction that describes a task, paired with an input that provides further context. Write a response
that appropriately completes the request. Given a list of video games movies the user has played watched before and the
user's ratings, please recommend a new video game movie that the user likes to the user. please rank the candidate from
the one the user likes most to the one liked least. The user has played watched the following before: The candidates are
### Instruction: ### Input: ### Response: "Iron Silent Crimson Lost Turbo Shadow Frozen Neon Rock & Roll Harbor Frontier
Kingdom Hunter's Moon Circuit Squad Valley Legends Racing Puzzle Shooter Adventure Soccer Tactics PlayStation Xbox 360
Windows PC Nintendo Wii Collector's Edition Game of the Year Steel Case" "Crimson Silent Broken Midnight Golden Lonely
Savage Paper Smoke & Mirrors Harbor Highway Promise Gambler's Luck Orchard Parade Station Summer Thriller Comedy Western
Romance Mystery Musical 1994 1987 1979 1962 Director's Cut Restored Print"
"""
"""What the prompts and the simulated titles are made of, so that most of their words are few tokens."""


def save_base_model(folder: Path) -> None:
    """Saves the model and the tokenizer."""
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    _model(tokenizer).save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=["<pad>", "<eos>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def _model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model, generator = LlamaForCausalLM(config), np.random.default_rng(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.copy_(torch.from_numpy(generator.normal(0, WEIGHT_STD, weight.shape)))
    return model
