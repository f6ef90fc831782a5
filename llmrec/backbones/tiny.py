"""`tiny`: a Llama of about a million parameters with its own vocabulary, built from the dataset alone."""

import hashlib
import json
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

from llmrec.atomic import atomic_folder
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import save_whole
from llmrec.catalogue.cached import load_catalogue
from llmrec.catalogue.titles import quote
from llmrec.code_hash import code_hash
from llmrec.datasets.dataset import Dataset, draw
from llmrec.datasets.list_prompts import rankings, render_lists_frame
from llmrec.datasets.prompts import PROMPT_END, Prompts, PromptTokenizer, prompt_limit, render
from llmrec.datasets.steps import LengthGroupedSteps

logger = logging.getLogger(__name__)
PAD, EOS = "<pad>", "<eos>"
CODE = ("llmrec.backbones.tiny",)
"""The module that pretrains; with what it imports."""
LIST_CODE = ("llmrec.datasets.stored_lists",)
"""The module that makes the lists which texts of task rerank show."""
LATER = ("dtype", "attention", "gradient_checkpointing", "trust_remote_code", "full_learning_rate")
"""Keys of the backbone group that concern the fine-tuning alone."""


def tiny_folder(
    config: DictConfig, wording: DictConfig, dataset: Dataset, cache_dir: Path, device: torch.device
) -> Path:
    """The folder of the pretrained model and tokenizer, from the cache if they were made before.

    config: the backbone group; device: where it is pretrained if it was not. The key covers data, settings, the
    prompt's words and the code, not the run's seed: all seeds of a sweep fine-tune the same base.
    """
    shaping = OmegaConf.masked_copy(config, [str(key) for key in config if key not in LATER])
    lists = dataset.report["lists"] if dataset.lists else None
    code = code_hash((), [*CODE, *(LIST_CODE if dataset.lists else ())])
    settings = [OmegaConf.to_container(shaping), _frame(wording, dataset), dataset.content_hash, lists, code]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    folder = cache_dir / "tiny" / f"{dataset.name}-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            tokenizer = train_tokenizer(config.vocabulary, wording, dataset)
            model = _pretrain(config, wording, dataset, tokenizer, cache_dir, device)
            save_whole(model, tokenizer, temporary)
    return folder


def train_tokenizer(vocabulary: int, wording: DictConfig, dataset: Dataset) -> PreTrainedTokenizerFast:
    """A byte-level BPE made from the titles and the prompt's own text; any text can be tokenised."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    titles = [quote(title) for title in dataset.items.distinct_titles]
    # Every row repeats the prompt's text, so its words are worth a token each, however few the titles are.
    tokenizer.train_from_iterator(titles + [_frame(wording, dataset)] * len(titles), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS)


def _frame(wording: DictConfig, dataset: Dataset) -> str:
    """What every text that the model will read says besides titles and ratings."""
    return render_lists_frame(wording, dataset.lists["train"]) if dataset.lists else render(wording, [])


def _pretrain(
    config: DictConfig,
    wording: DictConfig,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    cache_dir: Path,
    device: torch.device,
) -> LlamaForCausalLM:
    settings = config.pretraining
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(_llama(config, tokenizer))
    backbone = Backbone(model, tokenizer).to(device).train()
    rows = _rows(config, wording, dataset, tokenizer, cache_dir)
    ranking = 1 + dataset.lists["train"].candidates.shape[1] if dataset.lists else 0
    size = settings.batch_size
    epochs = [
        LengthGroupedSteps(rows.lengths, size, lambda _: size, settings.seed, epoch, rank=0, ranks=1)
        for epoch in range(settings.epochs)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    total = sum(map(len, epochs))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=total, pct_start=0.1)
    parameters = sum(weight.numel() for weight in model.parameters())
    logger.info("tiny: %s parameters, pretraining on %s rows (kept for all runs)", f"{parameters:,}", f"{len(rows):,}")
    with tqdm(total=total, desc="pretraining tiny", unit="step", leave=False, mininterval=1, disable=None) as bar:
        for loss in _losses(backbone, rows, ranking, epochs, optimizer, schedule):
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
    return model.cpu().eval()


def _losses(
    backbone: Backbone,
    rows: Prompts,
    ranking: int,
    epochs: list[LengthGroupedSteps],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Iterator[float]:
    """Takes one optimizer step after the other and yields its loss; ranking: how many tokens end each row as one."""
    shared = len(rows.shared_prefix())
    for epoch in epochs:
        for (step,) in epoch:
            loss = _loss(backbone, [rows.of(row) for row in step], shared, ranking)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield loss.item()


def _loss(backbone: Backbone, texts: list[np.ndarray], shared: int, ranking: int) -> torch.Tensor:
    """The mean over the texts' tokens, plus the mean over those of the rankings where there are any."""
    packed, _ = pack(texts, [[] for _ in texts], shared)
    predicts = torch.zeros_like(packed.tokens, dtype=torch.bool)
    # Nobody needs a model that can say the instruction.
    predicts[:, shared:-1] = packed.branch[:, shared + 1 :] == 0
    row, column = torch.nonzero(predicts).unbind(1)
    at = row * packed.tokens.shape[1] + column
    encoded = backbone.encode(packed.to(backbone.device), at.to(backbone.device))
    said = packed.tokens[row, column + 1].to(backbone.device)
    losses = functional.cross_entropy(encoded.logits(), said, reduction="none")
    if not ranking:
        return losses.mean()
    # In one mean the few tokens from which comparing candidates is learnt would hardly count.
    ends = column + 1 >= torch.tensor([len(text) - ranking for text in texts])[row]
    return losses.mean() + losses[ends.to(losses.device)].mean()


def _rows(
    config: DictConfig, wording: DictConfig, dataset: Dataset, tokenizer: PreTrainedTokenizerFast, cache_dir: Path
) -> Prompts:
    """The training rows, each prompt with its target, or the training lists, each with its ranking."""
    size, seed = config.pretraining.rows, config.pretraining.seed
    if dataset.lists:
        lists = dataset.lists["train"]
        return rankings(tokenizer, wording, lists.take(draw(len(lists), size, seed)), dataset.items, config.max_length)
    items = dataset.items
    titles, _, _ = load_catalogue(tokenizer, items, PROMPT_END, cache_dir)
    limit = prompt_limit(config.max_length, titles, items)
    train = dataset.train.take(draw(len(dataset.train), size, seed))
    prompts = PromptTokenizer(tokenizer, wording, limit, titles.moved, cache_dir).rows(train, items)
    targets = items.title_of[train.target]
    return Prompts.joined([np.concatenate([prompts.of(r), titles.of(title)]) for r, title in enumerate(targets)])


def _llama(config: DictConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=config.hidden_size, intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.heads,
        max_position_embeddings=config.max_length, tie_word_embeddings=True, attention_dropout=0.0,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
