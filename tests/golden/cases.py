"""The golden runs of each component: which settings are run, and which of their values are stored.

All are on simulated data and so small that one takes a second or two: five optimizer steps of the 14,000 weights of the
base model. 70 rows in steps of 16 and micro-batches of 6 leave a remainder everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

BASE_MODEL = "BASE_MODEL"
"""Stands in overrides for the folder of the base model."""
ITEM_TOKENS = "ITEM_TOKENS"
"""Stands in overrides for a file of item tokens."""

_SMALL = (
    "scale=debug logger=csv seed=42 trainer.accelerator=cpu trainer.progress=false trainer.learning_rate=0.01 "
    "trainer.epochs=1 trainer.batch_size=16 trainer.micro_batch_size=6 validation.users=7 dataset.reference=null "
    "dataset.source=simulated dataset.train_samples=70 dataset.simulator.items=80 dataset.simulator.users=80 "
    "evaluation.users=12 evaluation.splits=[test] "
)
_MODEL = f"{_SMALL} backbone=hf backbone.path={BASE_MODEL} backbone.gradient_checkpointing=false "
_GAMES = "dataset=games task=next_item backbone.max_length=320 "
NEXT_ITEM = f"{_MODEL} {_GAMES} adapter=none "
RERANK = (
    f"{_MODEL} dataset=movielens_100k task=rerank task.candidates=5 evaluation.orders=3 backbone.max_length=512 "
    "adapter=none "
)
CANDIDATE_ROWS = f"{_MODEL} dataset=games task=candidates task.candidates=5 backbone.max_length=512 adapter=none "
_LORA = "adapter=lora adapter.dropout=0 "
"""Without dropout: its masks depend on how rows are packed. One run has it."""
_DDP = "trainer=ddp trainer.devices=2 "
_FSDP = "trainer=fsdp trainer.devices=2 "
_TINY = (
    f"{_SMALL} backbone=tiny backbone.layers=1 backbone.hidden_size=32 backbone.heads=2 "
    "backbone.intermediate_size=32 backbone.vocabulary=512 backbone.pretraining.rows=64 adapter=none "
)
_FROZEN = "trainer.learning_rate=1e-12 validation.users=1 evaluation.users=1 "
"""Of objectives: their values are those of the base model at every step, whatever the optimizer does."""
REFERENCE = f"dataset.reference={{relevance:{BASE_MODEL},encoder:null}}"

UNTUNED = "objective=sft trainer.epochs=0"
_SASREC = "baseline=sasrec baseline.max_epochs=3"
_WITH_SASREC = "stage.oracle=['baseline=sasrec','baseline.max_epochs=3']"
_D3 = "decoding=d3 decoding.assistant.max_epochs=3"
_SFT = "objective=sft"
_ROUND_SFT = "objective=sprec_sft stage=sft"
_MSL = "objective=msl objective.bounds=[0.1,5.0]"
"""With bounds within which the temperature of a random model moves."""
AS_TRAINED = MappingProxyType({"as trained": ""})

Kind = Literal["curves", "training", "weights", "rankings", "metrics"]


@dataclass(frozen=True)
class Case:
    """A golden run.

    Args:
        settings: Its overrides, without those of its own.
        own: The other overrides.
        kinds: The kinds of values that are stored.
        evaluations: Overrides of its evaluations by name.
        stages: The runs that it builds on, each as its overrides beside `settings`. They are run first, in this
            process, where llmrec would start another one.
        interrupted_after: The training is interrupted after this number of steps, and resumed.
    """

    settings: str
    own: str
    kinds: tuple[Kind, ...]
    evaluations: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    interrupted_after: int | None = None


def _objective(own: str, *stages: str, settings: str = NEXT_ITEM) -> Case:
    return Case(settings + _FROZEN, own, ("curves", "training"), stages=stages)


def _training(own: str, settings: str = NEXT_ITEM, interrupted_after: int | None = None) -> Case:
    return Case(settings, own, ("curves", "training", "weights"), interrupted_after=interrupted_after)


def _ranked(settings: str, own: str = UNTUNED, **evaluations: str) -> Case:
    return Case(settings, own, ("rankings",), evaluations or AS_TRAINED)


def _measured(settings: str, own: str = UNTUNED, **evaluations: str) -> Case:
    return Case(settings, own, ("metrics",), evaluations or AS_TRAINED)


def _baseline(own: str, *tasks: str) -> dict[str, Case]:
    return {
        f"{own}, {'rerank' if task == RERANK else 'next item'}": Case(task, own, ("training", "rankings"), AS_TRAINED)
        for task in tasks
    }


RUNS: dict[str, dict[str, Case]] = {
    "objectives.sft": {"sft": _objective(_SFT), "sft, rerank": _objective(_SFT, settings=RERANK)},
    "objectives.msl": {
        "adaptive temperature": _objective(_MSL),
        "fixed temperature, all response tokens": _objective(
            "objective=msl objective.temperature=2.5 objective.reduction=response"
        ),
        "adaptive temperature, all response tokens": _objective(f"{_MSL} objective.reduction=response"),
        "statistics of the same step": _objective(
            f"{_MSL} objective.statistics=same_step trainer.micro_batch_size=null"
        ),
        "rerank": _objective(_MSL, settings=RERANK),
    },
    "objectives.gdrt": {
        "over sft": _objective("objective=gdrt"),
        "over msl": _objective("objective=gdrt objective/token_loss=msl"),
        "groups by position": _objective(
            "objective=gdrt objective.groups=position objective.group_count=3 objective.ema=0.9"
        ),
        "random groups": _objective("objective=gdrt objective.groups=random objective.prior=uniform"),
        "relevance by the current model": _objective("objective=gdrt objective.reference=current trainer.epochs=2"),
        "relevance by the stage": _objective("objective=gdrt objective.reference=sft stage=sft", _SFT),
        "statistics of the same step": _objective(
            "objective=gdrt objective.statistics=same_step trainer.micro_batch_size=null"
        ),
        "static weights": _objective("objective=gdrt objective.weights=inverse_relevance"),
    },
    "objectives.bear": {
        "bear": _objective("objective=bear"),
        "under gdrt": _objective("objective=gdrt objective/token_loss=bear"),
        "few beams, rerank": _objective("objective=bear objective.k=2 objective.temperature=2", settings=RERANK),
    },
    "objectives.apao": {
        "over sft": _objective("objective=apao objective.eta=0.1"),
        "over msl": _objective("objective=apao objective/token_loss=msl objective.beta=0.5"),
    },
    "objectives.grpo": {
        "grpo": _objective("objective=grpo objective.group=4", _SFT),
        "sampled": _objective(
            "objective=grpo objective.group=4 objective.rollout=sample objective.temperature=2 objective.scores=trie "
            "objective.add_target=true objective.inner_steps=2 objective.ranking=0.5 objective.kl=0.1",
            _SFT,
        ),
    },
    "objectives.igd": {
        "over sft": _objective("objective=igd"),
        "under gdrt": _objective("objective=gdrt objective/token_loss=igd"),
        "over msl": _objective("objective=igd objective/token_loss=msl"),
    },
    "objectives.cft": {
        "over sft": _objective("objective=cft"),
        "over msl": _objective("objective=cft objective/token_loss=msl objective.token_loss.temperature=2"),
    },
    "objectives.dmpo": {
        "dmpo": _objective("objective=dmpo", _SFT),
        "trie scores": _objective("objective=dmpo objective.scores=trie", _SFT),
    },
    "objectives.simpo": {
        "simpo": _objective("objective=simpo", _SFT),
        "trie scores": _objective("objective=simpo objective.scores=trie", _SFT),
    },
    "objectives.sprec": {
        "the DPO of a round": _objective("objective=sprec stage.rounds=1", _SFT, _ROUND_SFT),
        "trie scores": _objective("objective=sprec objective.scores=trie stage.rounds=1", _SFT, _ROUND_SFT),
        "the SFT of a round": _objective(_ROUND_SFT, _SFT),
    },
    "objectives.dpo": {
        "dpo": _objective("objective=dpo", _SFT),
        "trie scores": _objective("objective=dpo objective.scores=trie", _SFT),
    },
    "objectives.cdpo": {
        "cdpo": _objective("objective=cdpo", _SFT),
        "trie scores": _objective("objective=cdpo objective.scores=trie", _SFT),
    },
    "objectives.sdpo": {
        "sdpo": _objective("objective=sdpo", _SFT),
        "trie scores": _objective("objective=sdpo objective.scores=trie", _SFT),
    },
    "objectives.rosepo": {
        "rosepo": _objective(f"objective=rosepo {_WITH_SASREC}", _SFT, _SASREC),
        "trie scores": _objective(f"objective=rosepo objective.scores=trie {_WITH_SASREC}", _SFT, _SASREC),
    },
    "objectives.oracle": {
        "another temperature": _objective(
            f"objective=rosepo objective.oracle.temperature=2 {_WITH_SASREC}", _SFT, _SASREC
        ),
        "without cross-fitting": _objective(f"objective=rosepo objective.oracle.folds=1 {_WITH_SASREC}", _SFT, _SASREC),
    },
    "objectives.alro": {
        "normalised gains": _objective("objective=alro", settings=RERANK),
        "raw gains": _objective("objective=alro objective.normalise=false objective.gamma=5", settings=RERANK),
    },
    "objectives.rejected.popularity": {
        "uniform": _objective("objective=dpo objective/rejected=uniform", _SFT),
        "popularity": _objective("objective=dpo objective/rejected=popularity", _SFT),
    },
    "objectives.rejected.self_hard": {
        "self-hard": _objective("objective=dpo objective/rejected=self_hard", _SFT),
        "greedy": _objective("objective=dpo objective/rejected=self_greedy", _SFT),
    },
    "objectives.rejected.semantic": {
        "near the history": _objective(f"objective=dpo objective/rejected=semantic {REFERENCE}", _SFT),
        "near the target": _objective(
            f"objective=dpo objective/rejected=semantic objective.rejected.to=chosen {REFERENCE}", _SFT
        ),
    },
    "objectives.rejected.candidates": {
        "candidates": _objective("objective=sdpo objective/rejected=candidates", _SFT, settings=CANDIDATE_ROWS),
    },
    "objectives.rejected.mixture": {
        "mixture": _objective(f"objective=dpo objective/rejected=mixture {REFERENCE}", _SFT),
    },
    "tasks": {
        "next item": Case(NEXT_ITEM, _SFT, ("training", "rankings"), AS_TRAINED),
        **{
            f"rerank, relevance={relevance}": Case(
                RERANK,
                f"{_SFT} task.relevance={relevance} task.negatives={negatives} ",
                ("training", "rankings"),
                AS_TRAINED,
            )
            for relevance, negatives in (("ratings", 1), ("auto", 0), ("next_item", 4))
        },
    },
    "tasks.candidates": {
        "sft": Case(
            CANDIDATE_ROWS,
            _SFT,
            ("curves", "training", "weights", "rankings"),
            {"as trained": "", "unconstrained": "evaluation.unconstrained=true"},
        ),
        "popularity": Case(CANDIDATE_ROWS, "baseline=popularity", ("training", "rankings"), AS_TRAINED),
    },
    "training": {
        "full": _training(_SFT),
        "full, two ranks": _training(_SFT, NEXT_ITEM + _DDP),
        "full, two ranks, sharded": _training(_SFT, NEXT_ITEM + _FSDP),
        "full, rerank": _training(_SFT, RERANK),
        "two epochs": _training("objective=sft trainer.epochs=2 seed=7"),
        "two epochs, resumed": _training("objective=sft trainer.epochs=2 seed=7", interrupted_after=7),
        # AdamW hardly sees a clipping of all steps, as in the other runs.
        "some steps clipped": _training("objective=sft trainer.clip=1.4"),
        "msl, full": _training(_MSL),
        "lora": _training(_SFT, NEXT_ITEM + _LORA),
        "lora, dropout": _training("objective=sft adapter.dropout=0.05", NEXT_ITEM + "adapter=lora "),
        "lora, two ranks": _training(_MSL, NEXT_ITEM + _LORA + _DDP),
        "item tokens, lora": _training(f"{_SFT} items=tokens items.file={ITEM_TOKENS}", NEXT_ITEM + _LORA),
    },
    "ranking": {
        "next item": _ranked(
            NEXT_ITEM,
            history_excluded="decoding.exclude_history=true",
            unconstrained="evaluation.unconstrained=true",
        ),
        "next item, two ranks": _ranked(NEXT_ITEM + _DDP),
        "rerank": _ranked(RERANK),
        "rerank, unconstrained": _ranked(RERANK, unconstrained="evaluation.unconstrained=true"),
        "rerank, baseline": _ranked(RERANK, "baseline=popularity"),
    },
    "decoding.catalogue_decoder": {
        "trie": _ranked(NEXT_ITEM, trie="", three_beams="decoding.beams=3"),
        "vocab": _ranked(
            NEXT_ITEM,
            vocab="decoding=vocab",
            penalty="decoding=vocab decoding.length_penalty=1.5",
            history_excluded="decoding=vocab decoding.exclude_history=true",
        ),
        "temperature": _ranked(
            NEXT_ITEM, warm="decoding.temperature=2", cold="decoding=vocab decoding.temperature=0.5"
        ),
    },
    "decoding.candidates_decoder": {
        "candidates": _ranked(
            CANDIDATE_ROWS,
            trie="",
            vocab="decoding.scores=vocab",
            warm="decoding.temperature=2",
        ),
    },
    "decoding.exact_decoder": {
        "exact": _ranked(
            NEXT_ITEM,
            certified="decoding=exact",
            budget="decoding=exact decoding.budget=20",
            history_excluded="decoding=exact decoding.k=5 decoding.exclude_history=true",
            warm="decoding=exact decoding.temperature=2",
        ),
    },
    "decoding.d3_decoder": {
        "assisted": _ranked(
            NEXT_ITEM,
            vocab=_D3,
            trie=f"{_D3} decoding.scores=trie decoding.alpha=0.4",
            alone=f"{_D3} decoding.alpha=1",
            assistant_alone=f"{_D3} decoding.alpha=0 decoding.beams=3",
            history_excluded=f"{_D3} decoding.exclude_history=true",
            warm=f"{_D3} decoding.temperature=2",
        ),
    },
    "decoding.grounding_decoder": {
        "nearest": _ranked(
            NEXT_ITEM,
            own="decoding=grounding",
            greedy="decoding=grounding decoding.beams=1 decoding.k=3",
            reference=f"decoding=grounding decoding.embeddings=reference {REFERENCE}",
            popularity="decoding=grounding baseline@decoding.assistant=popularity decoding.gamma=2",
            history_excluded="decoding=grounding decoding.exclude_history=true",
        ),
    },
    "decoding.list_decoder": {"votes": _ranked(RERANK, one="", two="decoding.bootstrap=2")},
    "metrics": {
        "next item": _measured(
            NEXT_ITEM,
            both_splits="evaluation.splits=[valid,test]",
            unconstrained="evaluation.unconstrained=true",
            reference=REFERENCE,
        ),
        "next item, baseline": _measured(NEXT_ITEM, "baseline=popularity"),
        "candidates": _measured(
            CANDIDATE_ROWS, both_splits="evaluation.splits=[valid,test]", unconstrained="evaluation.unconstrained=true"
        ),
        "rerank": _measured(RERANK, both_splits="evaluation.splits=[valid,test]"),
        "rerank, unconstrained": _measured(RERANK, unconstrained="evaluation.unconstrained=true"),
    },
    "baselines": _baseline(_SASREC, NEXT_ITEM),
    "baselines.popularity": _baseline("baseline=popularity", NEXT_ITEM, RERANK)
    | _baseline("baseline=popularity baseline.rows=sample", NEXT_ITEM),
    "baselines.random": _baseline("baseline=random", NEXT_ITEM, RERANK),
    "baselines.itemknn": _baseline("baseline=itemknn", NEXT_ITEM, RERANK)
    | _baseline("baseline=itemknn baseline.rows=sample baseline.neighbours=5 baseline.shrink=10", NEXT_ITEM),
    "baselines.mean_rating": _baseline("baseline=mean_rating", RERANK)
    | _baseline("baseline=mean_rating baseline.rows=full", RERANK),
    "baselines.sasrec": _baseline(_SASREC, NEXT_ITEM, RERANK) | _baseline(f"{_SASREC} baseline.rows=sample", NEXT_ITEM),
    "backbones.tiny": {
        "next item": Case(_TINY + _GAMES, UNTUNED, ("weights",)),
        "rerank": Case(
            f"{_TINY} dataset=movielens_100k task=rerank task.candidates=5 backbone.max_length=512",
            UNTUNED,
            ("weights",),
        ),
        "candidates": Case(
            f"{_TINY} dataset=games task=candidates task.candidates=5 backbone.max_length=512", UNTUNED, ("weights",)
        ),
        "item tokens": Case(_TINY + _GAMES, f"{UNTUNED} items=tokens items.file={ITEM_TOKENS}", ("weights",)),
    },
    "datasets.lists": {
        "next item": _measured(
            RERANK,
            "objective=sft trainer.epochs=0 task.relevance=next_item task.negatives=4 dataset.simulator.ratings=false",
        ),
    },
}
"""The golden runs of each component, by name."""
