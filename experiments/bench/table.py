"""The table of a bench: medians over rounds, ratios between arms, and whether ours and theirs agree."""

from statistics import median
from typing import Any

import numpy as np

Raw = dict[str, list[dict[str, Any]]]


def render(raw: Raw, machine: dict[str, Any]) -> str:
    """The whole page in Markdown."""
    facts = ", ".join(f"{key} {value}" for key, value in machine.items() if key not in ("settings", "command"))
    settings = " ".join(f"{key}={value}" for key, value in machine["settings"].items())
    training = [_training(raw, adapter) for adapter in ("lora", "full")]
    preference = [_preference(raw, negatives) for negatives in ("1", "3")]
    parts = [
        *training,
        _trainer(raw),
        *preference,
        _objectives(raw),
        _alro(raw),
        _rejected(raw),
        _relevance(raw),
        _decoding(raw),
        _catalogue(raw),
        _metrics(raw),
        _ranking_parts(raw),
        _recommend(raw),
        prepare_table(raw),
        _startup(raw),
    ]
    head = (
        f"# Speed and memory\n\n`{machine['command']}` ({settings})\n\n{facts}; load: mean of the 5 minutes before.\n"
    )
    return "\n".join([head, *parts])


def _training(raw: Raw, adapter: str) -> str:
    ours, published = raw[f"training_step ours {adapter}"], raw[f"training_step published {adapter}"]
    what = "LoRA on q_proj and v_proj, as the paper trains" if adapter == "lora" else "all weights"
    lines = [
        f"## MSL training step, {what} ({ours[0]['data']}, vocabulary 128,256, batch 8)\n",
        "Forward, backward and AdamW. Growth: peak memory over that of model and data loaded.\n",
        *_steps({"ours": ours, "published": published}),
        _row(
            "published : ours (wanted: 3, 2)" if adapter == "lora" else "published : ours",
            *(f"{_of(published, key) / _of(ours, key):.1f}" for key in STEP_FIGURES),
        ),
        _differing_losses(ours, published),
    ]
    if adapter == "lora":
        floor = raw["training_step floor lora"]
        lines.append(
            "Floor: a plain forward and backward pass of the fewest tokens, row by row without padding, head and "
            f"optimizer: {_of(floor, 'seconds'):.2f} s; ours takes {_of(ours, 'seconds') / _of(floor, 'seconds'):.2f} "
            "times that (wanted: 1.15).\n"
        )
    return "\n".join(lines)


def _trainer(raw: Raw) -> str:
    ours, theirs = raw["training_step sft lora"], raw["training_step trainer lora"]
    lines = [
        f"## SFT training step, LoRA ({ours[0]['data']}, vocabulary 128,256, batch 8)\n",
        "Forward, backward and AdamW. Trainer: that of Hugging Face, labels on the title's tokens only.\n",
        *_steps({"ours": ours, "Trainer": theirs}),
        _row("Trainer : ours", *(f"{_of(theirs, key) / _of(ours, key):.1f}" for key in STEP_FIGURES)),
        _differing_losses(ours, theirs),
    ]
    return "\n".join(lines)


STEP_FIGURES = ("seconds", "peak_mb", "growth_mb")


def _steps(arms: dict[str, list[dict[str, Any]]]) -> list[str]:
    rows = (_row(name, *(f"{_of(rounds, key):,.2f}" for key in STEP_FIGURES)) for name, rounds in arms.items())
    return [_row("", "s a step", "peak MB", "growth MB"), _rule(4), *rows]


def _differing_losses(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    difference = np.abs(np.array(ours[0]["losses"]) - theirs[0]["losses"]).max()
    return f"\nLargest difference of the losses of {len(ours[0]['losses'])} steps: {difference:.1e} (wanted: 1e-5)\n"


def _objectives(raw: Raw) -> str:
    (measured,) = raw["objective_costs"]
    parts = list(measured["objectives"]["SFT"]["seconds"])
    lines = [
        "## Optimizer step of each objective (office, 64 rows, shape of tiny)\n",
        f"Median of {measured['rounds']} rounds in which all objectives take a step in turn; seconds. Without what "
        "objectives prepare once.\n",
        _row("", *parts, "step", "relative to SFT"),
        _rule(len(parts) + 3),
    ]
    for name, figures in measured["objectives"].items():
        seconds = figures["seconds"]
        cells = (f"{seconds[part]:.2f}" for part in parts)
        lines.append(_row(name, *cells, f"{sum(seconds.values()):.2f}", f"{figures['relative']:.2f}"))
    return "\n".join([*lines, ""])


def _alro(raw: Raw) -> str:
    arms = {arm: raw[f"alro_step {arm}"] for arm in ("branches", "sequences", "sft")}
    ours, one_order = arms["branches"], _of(arms["sft"], "seconds")
    losses = max(np.abs(np.array(rounds["losses"]) / ours[0]["losses"] - 1).max() for rounds in arms["sequences"])
    lines = [
        f"## ALRO step, LoRA ({ours[0]['data']}, lists of 10, vocabulary 128,256, batch 8)\n",
        "Forward, backward and AdamW. Branches: ours, instruction and history once for both orders of the candidates; "
        "sequences: each order a sequence of its own; sft: one order only.\n",
        _row("", "s a step", "peak MB", "times sft"),
        _rule(4),
        *(
            _row(
                arm,
                *(f"{_of(rounds, key):,.2f}" for key in ("seconds", "peak_mb")),
                f"{_of(rounds, 'seconds') / one_order:.2f}",
            )
            for arm, rounds in arms.items()
        ),
        f"\nLargest relative difference of losses, branches and sequences: {losses:.1e} (wanted: 1e-5)\n",
    ]
    return "\n".join(lines)


def _preference(raw: Raw, negatives: str) -> str:
    names = ("branches", "sequences", "published", "trl")
    # TRL's trainer has no S-DPO.
    arms = {arm: raw[f"preference_step {arm} {negatives}"] for arm in names if (arm, negatives) != ("trl", "3")}
    ours = arms["branches"]
    losses, norms = (
        max(np.abs(np.array(rounds[0][key]) / ours[0][key] - 1).max() for rounds in arms.values())
        for key in ("losses", "gradient_norms")
    )
    lines = [
        f"## Preference step, {negatives} rejected, LoRA ({ours[0]['data']}, vocabulary 128,256, batch 8)\n",
        "Forward, backward and AdamW, the reference's values given. Branches: ours, a prompt once for all its titles; "
        "sequences: each title a sequence of its own; published: the same with logits of every position; trl: TRL's "
        "DPOTrainer.\n",
        _row("", "s a step", "peak MB", "growth MB", "branches are faster by"),
        _rule(5),
        *(
            _row(
                arm,
                *(f"{_of(rounds, key):,.2f}" for key in ("seconds", "peak_mb", "growth_mb")),
                "" if arm == "branches" else f"{_of(rounds, 'seconds') / _of(ours, 'seconds'):.2f} (wanted: 1.5)",
            )
            for arm, rounds in arms.items()
        ),
        f"\nLargest relative difference of losses {losses:.1e}, of the gradient's norm {norms:.1e} (wanted: 1e-5)\n",
    ]
    return "\n".join(lines)


def _rejected(raw: Raw) -> str:
    (measured,) = raw["rejected"]
    lines = [
        f"## Rejected titles of {measured['rows']:,} rows over {measured['titles']:,} titles ({measured['data']})\n",
        _row("sampler", "s"),
        _rule(2),
        *(_row(name, f"{seconds:.1f}") for name, seconds in measured["seconds"].items()),
        "",
    ]
    return "\n".join(lines)


def _decoding(raw: Raw) -> str:
    arms = {arm: raw[f"decoding {arm}"] for arm in ("huggingface", "vocab", "trie", "prefill")}
    slowest, floor = _of(arms["huggingface"], "users_a_second"), _of(arms["prefill"], "users_a_second")
    same, difference = _agreement(arms["vocab"][0]["found"], arms["huggingface"][0]["found"])
    lines = [
        f"## Decoding, 10 beams, batch 8, 24 users ({arms['vocab'][0]['data']}, vocabulary 4,096)\n",
        "Floor: one plain forward pass of the prompts (the row prefill). Ours runs what all prompts share only once.\n",
        _row(
            "", "users a second", "times Hugging Face", "share of the floor's speed", "model runs a batch", "in prefill"
        ),
        _rule(6),
        *(
            _row(
                arm,
                f"{_of(rounds, 'users_a_second'):.2f}",
                f"{_of(rounds, 'users_a_second') / slowest:.1f}"
                + {"vocab": " (wanted: 3)", "trie": " (wanted: 12)"}.get(arm, ""),
                f"{_of(rounds, 'users_a_second') / floor:.0%}",
                f"{_of(rounds, 'decoder_runs_a_batch'):.1f}",
                f"{_of(rounds, 'prefill_share'):.0%}",
            )
            for arm, rounds in arms.items()
        ),
        f"\nvocab = Hugging Face, titles in order: {same} of {len(arms['vocab'][0]['found'])} users; "
        f"largest difference of scores {difference:.1e} (wanted: 1e-4)\n",
    ]
    return "\n".join(lines)


def _agreement(ours: list[Any], theirs: list[Any]) -> tuple[int, float]:
    same = sum(mine[0] == other[0] for mine, other in zip(ours, theirs, strict=True))
    scores = np.array([mine[1] for mine in ours]) - np.array([other[1] for other in theirs])
    return same, float(np.abs(scores).max())


def _catalogue(raw: Raw) -> str:
    lines = [
        "## Titles as tokens, and their trie\n",
        _row("", "titles", "tokenise s", "trie s", "both s", "peak MB"),
        _rule(6),
    ]
    for arm, wanted in (("games", "(wanted: 2)"), ("million", "(wanted: 90)")):
        rounds = raw[f"build_trie {arm}"]
        seconds = (f"{_of(rounds, key):.2f}" for key in ("tokenise_seconds", "trie_seconds"))
        both, peak = f"{_of(rounds, 'seconds'):.2f} {wanted}", f"{_of(rounds, 'peak_mb'):,.0f}"
        lines.append(_row(rounds[0]["data"], f"{rounds[0]['titles']:,}", *seconds, both, peak))
    return "\n".join([*lines, "\nPeak memory of the whole process; wanted: 2,000 MB for a million titles.\n"])


def _metrics(raw: Raw) -> str:
    lines = [
        "## Metrics of lists of ten, of a run and of the popularity baseline\n",
        "All metrics without a reference model, with their values by row. Memory of the whole process.\n",
        _row("users", "processor s", "peak MB"),
        _rule(3),
    ]
    for users in (100_000, 1_000_000):
        rounds = raw[f"metrics llmrec {users}"]
        lines.append(_row(f"{users:,}", f"{_of(rounds, 'seconds'):.1f}", f"{_of(rounds, 'peak_mb'):,.0f}"))
    (theirs,) = raw["metrics torchmetrics 100000"]
    difference = abs(theirs["ndcg"] - raw["metrics llmrec 100000"][0]["ndcg"])
    lines.append(
        f"\ntorchmetrics, NDCG@10 of 100,000 users alone: {theirs['seconds']:.1f} s; it differs by {difference:.1e}."
    )
    seconds = _of(raw["significance"], "seconds")
    tests = f"\nTests and intervals of a table of 100 runs on 1,000 users: {seconds:.1f} s (wanted: 10).\n"
    return "\n".join([*lines, "\nWanted for a million users: 2 s and 1,000 MB.", tests])


def _recommend(raw: Raw) -> str:
    arms = {arm: raw[f"recommend {arm}"] for arm in ("tiny", "smollm2") if f"recommend {arm}" in raw}
    figures = arms["tiny"][0]
    lines = [
        f"## Recommendations, 10 beams ({figures['data']}, {figures['titles']:,} titles)\n",
        "Opening: catalogue, trie and weights, without imports. One user: seconds of one history, and as a multiple of "
        "one plain forward pass of its prompt. Many: histories a second in a batch, beside evaluation's.\n",
        _row("backbone", "imports s", "opening s", "one user s", "times plain pass", "many a second", "evaluation"),
        _rule(7),
        *(
            _row(
                arm,
                f"{_of(rounds, 'import_seconds'):.1f}",
                f"{_of(rounds, 'load_seconds'):.1f} (wanted: 3)",
                f"{_of(rounds, 'one_seconds'):.3f}" + (" (wanted: 0.05)" if arm == "tiny" else ""),
                f"{_of(rounds, 'one_to_plain'):.2f}" + (" (wanted: 1.5)" if arm == "smollm2" else ""),
                *(f"{_of(rounds, key):.1f}" for key in ("many_a_second", "evaluated_a_second")),
            )
            for arm, rounds in arms.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _ranking_parts(raw: Raw) -> str:
    lines = [
        "## Rankings kept in parts, lists of ten, without a model\n",
        "Peak memory of the process: data loaded, ranking written, ranking read for its metrics.\n",
        _row("users", "s", "data MB", "written MB", "read MB"),
        _rule(5),
    ]
    for users in (10_000, 1_000_000):
        (measured,) = raw[f"ranking_parts {users}"]
        memory = (f"{measured[key]:,.0f}" for key in ("loaded_mb", "ranked_mb", "read_mb"))
        lines.append(_row(f"{users:,}", f"{measured['seconds']:.1f}", *memory))
    return "\n".join([*lines, ""])


def prepare_table(raw: Raw) -> str:
    """The seconds and memory of preparing, with what they come to for 500 million interactions."""
    lines = [
        "## Preparing synthetic interactions, generic layout, 5-core\n",
        "llmrec: llmrec.prepare. pandas: the same steps without most of the report. Seconds of the whole process.\n",
        _row("interactions", "format", "", "s", "processor s", "peak MB"),
        _rule(6),
    ]
    peaks = {}
    for name, rounds in raw.items():
        script, arm, kind, count = [*name.split(), "", "", ""][:4]
        if script == "prepare":
            figures = (f"{_of(rounds, key):,.0f}" for key in ("seconds", "processor_seconds", "peak_mb"))
            lines.append(_row(f"{int(count):,}", kind, arm, *figures))
            peaks[arm, kind, int(count)] = _of(rounds, "peak_mb")
    few, many, goal = 2_000_000, 10_000_000, 500_000_000
    lines.append("\nWanted of llmrec: 60 s and 4,000 MB for 10 million, 1,000 MB for 2 million.\n")
    for arm in ("llmrec", "pandas"):
        slope = (peaks[arm, "csv", many] - peaks[arm, "csv", few]) / (many - few)
        needed = (peaks[arm, "csv", many] + slope * (goal - many)) / 1_000
        lines.append(f"{arm}: {slope * 1e6:,.0f} MB a million; extrapolated to 500 million: {needed:,.0f} GB\n")
    return "\n".join(lines)


def _relevance(raw: Raw) -> str:
    rounds = raw["relevance"]
    epoch = _of(rounds, "epoch_seconds")
    lines = [
        f"## GDRT's relevance pass, tiny backbone ({rounds[0]['data']})\n",
        _row("", "titles", "s", "of an epoch"),
        _rule(4),
        _row(f"epoch of SFT, {rounds[0]['rows']:,} rows", "", f"{epoch:.1f}", ""),
    ]
    for name, count, key in (
        ("the sample's targets (GDRT)", "targets", "seconds"),
        ("all titles (bins of the record)", "titles", "catalogue_seconds"),
    ):
        wanted = " (wanted: 10%)" if key == "seconds" else ""
        share = f"{_of(rounds, key) / epoch:.1%}{wanted}"
        lines.append(_row(name, f"{rounds[0][count]:,}", f"{_of(rounds, key):.1f}", share))
    return "\n".join([*lines, ""])


def _startup(raw: Raw) -> str:
    arms = {arm: raw[f"startup {arm}"] for arm in ("logger=wandb", "logger=csv")}
    lines = [
        "## `python -m llmrec.run scale=debug` until its first training step\n",
        "Simulated games, tiny backbone, W&B offline. With an empty cache the backbone is pretrained, too.\n",
        _row("", "processor s, empty cache", "processor s, filled cache", "modules"),
        _rule(4),
        *(
            _row(
                arm,
                *(f"{_of(rounds, key):.1f} (wanted: 6)" for key in ("empty_cache", "filled_cache")),
                f"{_of(rounds, 'modules'):,.0f}",
            )
            for arm, rounds in arms.items()
        ),
        "",
        _row("imports alone", "processor s"),
        _rule(2),
    ]
    imports = [figures["imports"] for rounds in arms.values() for figures in rounds]
    lines += [_row(modules, f"{_of(imports, modules):.1f}") for modules in imports[0]]
    return "\n".join([*lines, ""])


def _of(rounds: list[dict[str, Any]], key: str) -> float:
    return median(figures[key] for figures in rounds)


def _row(*runs: str) -> str:
    return "| " + " | ".join(runs) + " |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"
