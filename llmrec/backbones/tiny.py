"""`tiny`: a Llama of about a million parameters with its own vocabulary, pretrained on the dataset alone."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmrec.backbones.added_tokens import add_tokens
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import save_model
from llmrec.cached_files import cached_folder, is_cached
from llmrec.catalogue.items import quote
from llmrec.components import code, digest
from llmrec.datasets.steps import LengthGroupedSteps
from llmrec.errors import InputError
from llmrec.prompts.pretraining import PretrainingTexts
from llmrec.prompts.prompts import Prompts

logger = logging.getLogger(__name__)
PAD, EOS = "<pad>", "<eos>"
FINE_TUNING_KEYS = ("dtype", "attention", "gradient_checkpointing", "trust_remote_code", "full_learning_rate")
"""Keys of the config group `backbone` that do not affect the pretraining."""


def tiny_folder(config: DictConfig, texts: PretrainingTexts, cache_dir: Path, device: torch.device) -> Path:
    """Returns the cached folder of the pretrained model and tokenizer, after pretraining them if necessary.

    The cache key covers the dataset, the tokens of its items, the settings, the prompt and the code, but not the run's
    seed: all seeds of a sweep fine-tune the same base model.

    Args:
        config: The config group `backbone`.
        texts: The texts of the run's task.
        cache_dir: llmrec's cache folder.
        device: The device for the pretraining.

    Raises:
        InputError: If the prompt needs a chat template.
    """
    text, dataset = texts.prompt, texts.dataset
    if text.is_chat:
        raise InputError(
            "prompt.chat_template=true: backbone=tiny has no chat template. Choose an instruct model, or prompt=alpaca"
        )
    pretraining = OmegaConf.masked_copy(config, [str(key) for key in config if key not in FINE_TUNING_KEYS])
    settings = {"backbone": OmegaConf.to_container(pretraining)}
    prompt = [text.wording, text.template.text]
    tokens = dataset.items.tokens and dataset.items.tokens.content_hash
    pretrained_by = code(["backbones.tiny", *texts.components], [type(texts).__module__])
    key = digest(settings, prompt, dataset.content_hash, tokens, texts.identity, pretrained_by)
    folder = cache_dir / "tiny" / f"{dataset.name}-{key}"
    if not is_cached(folder):
        with cached_folder(folder) as temporary:
            tokenizer = train_tokenizer(config.vocabulary, texts)
            model = _pretrain(config, texts, tokenizer, cache_dir, device)
            save_model(model, tokenizer, temporary)
    return folder


def train_tokenizer(vocabulary: int, texts: PretrainingTexts) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer on the titles and the prompt's fixed text; it can tokenize any text.

    Tokens that represent items are added afterwards. It is trained on the titles all the same, so that it can tokenize
    other texts about the items, such as their categories.

    Args:
        vocabulary: Size of the vocabulary, without the items' tokens.
        texts: The texts on which the model is pretrained.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    items = texts.dataset.items
    titles = [quote(title) for title in items.distinct_titles]
    # Every row repeats the prompt's text, so each of its words should be one token, however few titles there are.
    tokenizer.train_from_iterator(titles + [texts.frame()] * len(titles), trainer)
    trained = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS)
    if items.tokens is not None:
        add_tokens(trained, items.tokens)
    return trained


def _pretrain(
    config: DictConfig,
    texts: PretrainingTexts,
    tokenizer: PreTrainedTokenizerFast,
    cache_dir: Path,
    device: torch.device,
) -> LlamaForCausalLM:
    settings = config.pretraining
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(_llama(config, tokenizer))
    backbone = Backbone(model, tokenizer).to(device).train()
    rows = texts.rows(tokenizer, config, cache_dir)
    size = settings.batch_size
    epochs = [
        LengthGroupedSteps(rows.lengths, size, lambda _: size, settings.seed, epoch, rank=0, ranks=1)
        for epoch in range(settings.epochs)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    total = sum(map(len, epochs))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=total, pct_start=0.1)
    parameters = sum(weight.numel() for weight in model.parameters())
    logger.info("tiny: %s parameters, pretraining on %s rows (once, then cached)", f"{parameters:,}", f"{len(rows):,}")
    with tqdm(total=total, desc="pretraining tiny", unit="step", leave=False, mininterval=1, disable=None) as bar:
        for loss in _train_steps(backbone, rows, texts.emphasized_tokens, epochs, optimizer, schedule):
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
    return model.cpu().eval()


def _train_steps(
    backbone: Backbone,
    rows: Prompts,
    emphasized_tokens: int,
    epochs: list[LengthGroupedSteps],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Iterator[float]:
    """Runs the optimizer steps and yields the loss of each."""
    shared = len(rows.shared_prefix())
    for epoch in epochs:
        for (step,) in epoch:
            loss = _loss(backbone, [rows.of(row) for row in step], shared, emphasized_tokens)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield loss.item()


def _loss(backbone: Backbone, texts: list[np.ndarray], shared: int, emphasized_tokens: int) -> torch.Tensor:
    """Returns the mean loss over the texts' tokens, plus the mean over the last tokens of each that are emphasized."""
    packed, _ = pack(texts, [[] for _ in texts], shared)
    # The model does not have to generate the instruction, so the shared tokens have no loss.
    predicts = torch.zeros_like(packed.tokens, dtype=torch.bool)
    predicts[:, shared:-1] = packed.branch[:, shared + 1 :] == 0
    row, column = torch.nonzero(predicts).unbind(1)
    index = row * packed.tokens.shape[1] + column
    encoded = backbone.encode(packed.to(backbone.device), index.to(backbone.device))
    targets = packed.tokens[row, column + 1].to(backbone.device)
    losses = functional.cross_entropy(encoded.logits(), targets, reduction="none")
    if not emphasized_tokens:
        return losses.mean()
    is_emphasized = column + 1 >= torch.tensor([len(text) - emphasized_tokens for text in texts])[row]
    return losses.mean() + losses[is_emphasized.to(losses.device)].mean()


def _llama(config: DictConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.heads,
        max_position_embeddings=config.max_length, tie_word_embeddings=True, attention_dropout=0.0,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
