"""The golden runs: which settings are run, and how each trained run is evaluated.

All are on simulated data and so small that one takes a second or two: five optimizer steps of the 14,000 weights of the
base model. 70 rows in steps of 16 and micro-batches of 6 leave a remainder everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

BASE_MODEL = "BASE_MODEL"
"""Stands in overrides for the folder of the base model."""

_SMALL = (
    "scale=debug logger=csv seed=42 trainer.accelerator=cpu trainer.progress=false trainer.learning_rate=0.01 "
    "trainer.epochs=1 trainer.batch_size=16 trainer.micro_batch_size=6 validation.users=7 dataset.reference=null "
    "dataset.source=simulated dataset.train_samples=70 dataset.simulator.items=80 dataset.simulator.users=80 "
    "evaluation.users=12 evaluation.splits=[test] "
)
_MODEL = f"{_SMALL} backbone=hf backbone.path={BASE_MODEL} backbone.gradient_checkpointing=false "
_GAMES = "dataset=games task=next_item backbone.max_length=320 "
_NEXT_ITEM = f"{_MODEL} {_GAMES}"
_RERANK = f"{_MODEL} dataset=movielens_100k task=rerank task.candidates=5 evaluation.orders=3 backbone.max_length=512 "
_FULL = "adapter=none "
_LORA = "adapter=lora adapter.dropout=0 "
"""Without dropout: its masks depend on how rows are packed. One run has it."""
_DDP = "trainer=ddp trainer.devices=2 "
_FSDP = "trainer=fsdp trainer.devices=2 "
_TINY = (
    f"{_SMALL} {_GAMES} backbone=tiny backbone.layers=1 backbone.hidden_size=32 backbone.heads=2 "
    "backbone.intermediate_size=32 backbone.vocabulary=512 backbone.pretraining.rows=64 "
)
_REFERENCE = f"dataset.reference={{relevance:{BASE_MODEL},encoder:null}}"

Evaluations = Mapping[str, str]
"""Overrides of an evaluation by its name; none: as the run was trained."""
BOTH_SPLITS = MappingProxyType({"both splits": "evaluation.splits=[valid,test]"})
"""Its metrics are stored in full."""
BOTH_SCORES = MappingProxyType({"trie": "", "vocab": "decoding=vocab"})
BOTH_VOTES = MappingProxyType({"bootstrap 1": "", "bootstrap 2": "decoding.bootstrap=2"})
FURTHER_SCORES = MappingProxyType(
    {
        "history excluded": "decoding.exclude_history=true",
        "unconstrained": "evaluation.unconstrained=true",
        "reference": _REFERENCE,
        **BOTH_SPLITS,
    }
)
"""Of one run only: the objective makes no difference to what they add."""

UNTUNED = "objective=sft trainer.epochs=0"
"""The run that leaves the weights with which the others of its family start."""
_SASREC = "baseline=sasrec baseline.max_epochs=3"
_SFT = "objective=sft"
_MSL = "objective=msl objective.bounds=[0.1,5.0]"
"""With bounds within which the temperature of a random model moves."""


@dataclass(frozen=True)
class Case:
    """A golden run.

    Args:
        own: The overrides beside those of its family.
        evaluations: How it is evaluated.
        stages: The runs that it builds on, each as its overrides beside those of the family. They are run first, in
            this process, where llmrec would start another one.
        quick: Whether `make test` runs it.
    """

    own: str
    evaluations: Evaluations
    stages: tuple[str, ...] = ()
    quick: bool = False


@dataclass(frozen=True)
class Family:
    """Golden runs that share their settings, a folder and a file of stored values."""

    settings: str
    cases: Mapping[str, Case]


def _objectives(evaluations: Evaluations, quick: bool = False) -> dict[str, Case]:
    """Every objective of next_item with its own settings."""
    return {
        "sft": Case(_SFT, evaluations, quick=quick),
        "msl": Case(_MSL, evaluations, quick=quick),
        "gdrt over sft": Case("objective=gdrt", evaluations, quick=quick),
        "gdrt over msl": Case("objective=gdrt objective/token_loss=msl", evaluations, quick=quick),
        "dpo": Case("objective=dpo", evaluations, (_SFT,), quick),
        "cdpo": Case("objective=cdpo", evaluations, (_SFT,), quick),
        "sdpo": Case("objective=sdpo", evaluations, (_SFT,), quick),
        "rosepo": Case(
            "objective=rosepo stage.oracle=['baseline=sasrec','baseline.max_epochs=3']",
            evaluations,
            (_SFT, _SASREC),
            quick,
        ),
    }


def _variants() -> dict[str, Case]:
    """Settings of the objectives of next_item that change what is computed."""
    settings = {
        "msl, fixed temperature": "objective=msl objective.temperature=2.5 objective.reduction=response",
        "msl, same step": "objective=msl objective.statistics=same_step trainer.micro_batch_size=null",
        "gdrt, groups by position": (
            "objective=gdrt objective.groups=position objective.group_count=3 objective.ema=0.9"
        ),
        "gdrt, random groups": "objective=gdrt objective.groups=random objective.prior=uniform",
        "gdrt, relevance by the current model": "objective=gdrt objective.reference=current trainer.epochs=2",
        "gdrt, static weights": "objective=gdrt objective.weights=inverse_relevance",
        "sft, two epochs": "objective=sft trainer.epochs=2 seed=7",
        # AdamW hardly sees a clipping of all steps, as in the other runs.
        "sft, some steps clipped": "objective=sft trainer.clip=1.4",
    }
    staged = {
        "gdrt, relevance by the stage": "objective=gdrt objective.reference=sft stage=sft",
        "dpo, trie scores": "objective=dpo objective.scores=trie",
        "dpo, popularity": "objective=dpo objective/rejected=popularity",
        "dpo, self_hard": "objective=dpo objective/rejected=self_hard",
        "dpo, semantic": f"objective=dpo objective/rejected=semantic {_REFERENCE}",
        "dpo, mixture": f"objective=dpo objective/rejected=mixture {_REFERENCE}",
    }
    alone = {name: Case(own, {"trie": ""}) for name, own in settings.items()}
    return alone | {name: Case(own, {"trie": ""}, (_SFT,)) for name, own in staged.items()}


def _rerank(evaluations: Evaluations, quick: bool = False) -> dict[str, Case]:
    """Every objective of rerank with its own settings."""
    own = {"sft": _SFT, "msl": _MSL, "alro": "objective=alro"}
    return {name: Case(overrides, evaluations, quick=quick) for name, overrides in own.items()}


_RERANK_VARIANTS = {
    "alro, raw gains": Case("objective=alro objective.normalise=false objective.gamma=5", BOTH_VOTES),
    "sft, unconstrained": Case("objective=sft", {"unconstrained": "evaluation.unconstrained=true"}),
    "sft, next item": Case(
        "objective=sft task.relevance=next_item task.negatives=4 dataset.simulator.ratings=false", BOTH_VOTES
    ),
}


def _baselines(*names: str) -> dict[str, Case]:
    return {name: Case(_SASREC if name == "sasrec" else f"baseline={name}", BOTH_SPLITS) for name in names}


def _untuned(evaluations: Evaluations) -> dict[str, Case]:
    return {"untuned": Case(UNTUNED, evaluations)}


FAMILIES = {
    "next_item": Family(
        _NEXT_ITEM + _FULL,
        _untuned({**BOTH_SCORES, **FURTHER_SCORES})
        | _objectives({"trie": ""}, quick=True)
        | {"sft": Case(_SFT, BOTH_SCORES, quick=True)}
        | _variants()
        | _baselines("popularity", "sasrec", "random"),
    ),
    "next_item_lora": Family(
        _NEXT_ITEM + _LORA,
        _untuned(BOTH_SCORES)
        | _objectives(BOTH_SCORES)
        | {"sft, dropout": Case("objective=sft adapter.dropout=0.05", BOTH_SCORES)},
    ),
    "next_item_ddp": Family(_NEXT_ITEM + _FULL + _DDP, _untuned(BOTH_SCORES) | _objectives({"trie": ""})),
    "next_item_lora_ddp": Family(_NEXT_ITEM + _LORA + _DDP, _untuned({"trie": ""}) | {"msl": Case(_MSL, BOTH_SCORES)}),
    "next_item_fsdp": Family(_NEXT_ITEM + _FULL + _FSDP, _untuned({"trie": ""}) | {"sft": Case(_SFT, BOTH_SCORES)}),
    "next_item_tiny": Family(_TINY + _FULL, _untuned({"trie": ""}) | {"sft": Case(_SFT, BOTH_SCORES)}),
    "rerank": Family(
        _RERANK + _FULL,
        _untuned({**BOTH_VOTES, **BOTH_SPLITS})
        | _rerank(BOTH_VOTES, quick=True)
        | _RERANK_VARIANTS
        | _baselines("popularity", "sasrec", "random", "mean_rating"),
    ),
    "rerank_lora": Family(_RERANK + _LORA, _untuned(BOTH_VOTES) | _rerank(BOTH_VOTES)),
    "rerank_ddp": Family(_RERANK + _FULL + _DDP, _untuned(BOTH_VOTES) | _rerank({"bootstrap 1": ""})),
}
"""By name, which is that of the file of stored values."""
