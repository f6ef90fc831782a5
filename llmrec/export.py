"""Exports a trained run for use elsewhere: python -m llmrec.export run=runs/... out=FOLDER."""

import logging
from pathlib import Path

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Exports a trained run as a folder that transformers and llmrec open elsewhere.

  python -m llmrec.export run=runs/<...>/<key> out=exported
  python -m llmrec.export run=runs/<...>/<key> out=exported merge=true

run=FOLDER        the folder of a run
out=FOLDER        the folder to write; it must not exist
merge=true        merges the adapter into its base model, so that the folder
                  needs no other model (default false: only the adapter)
push=USER/NAME    uploads the folder to the Hugging Face Hub, to a repository
                  that is created as a private one. Needs an account and
                  `hf auth login`. Never tried against the Hub itself.

The folder holds the model and its tokenizer, the catalogue (from which the trie
is built), the settings with the prompt, the metrics, and a model card
(README.md). It holds no interactions and no rankings. An adapter names its base
model: a hub name works everywhere; where a local folder lies elsewhere, give
backbone.path=FOLDER to the command that opens the export.
Weights are opened on the CPU, in float32 unless backbone.dtype says otherwise;
trainer.accelerator and paths can be overridden.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""
OWN = ("run", "out", "merge", "push", "trust")


def main() -> None:
    """Entry point of `python -m llmrec.export`."""
    run_command(HELP, _export)


def _export(arguments: list[str]) -> None:
    from llmrec.run_selection import selected_runs
    from llmrec.training.overrides import override, split_arguments, trusts
    from llmrec.training.run_folder import RunFolder

    logging.basicConfig(level=logging.WARNING, format="llmrec: %(message)s")
    own, overrides = split_arguments(arguments, OWN)
    if "run" not in own or "out" not in own:
        raise InputError("give run=<the folder of a trained run> and out=<the folder to write>")
    merge = own.get("merge", "false").lower()
    if merge not in ("true", "false"):
        raise InputError(f"merge={own['merge']}: give true or false")
    folders, out = selected_runs(own["run"]), Path(own["out"])
    if len(folders) > 1:
        raise InputError(f"run={own['run']} names {len(folders)} runs. Give one")
    run = RunFolder(folders[0])
    config = override(run.config(trusts(own)), ["trainer.accelerator=cpu", *overrides])

    from llmrec.exporting.base_model import local_base_note
    from llmrec.exporting.export_run import export_run

    export_run(run, config, out, merge == "true")
    print(f"exported to {out}")
    if merge == "false" and config.adapter.name != "none" and (note := local_base_note(config, str(out))):
        print(note)
    if "push" in own:
        from llmrec.exporting.hub import push

        print("push= was never tried against the Hub itself: look at what arrives there")
        print(f"uploaded to {push(out, own['push'])}")


if __name__ == "__main__":
    main()
