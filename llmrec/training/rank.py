"""One rank of a distributed run: python -m llmrec.training.rank <job file>, started by ranks.py."""

import logging
import os
import sys
from pathlib import Path

from torch import distributed

from llmrec.errors import InputError
from llmrec.training.quiet import quiet
from llmrec.training.ranks import PATIENCE, group
from llmrec.training.work import Work, do_work


def main() -> None:
    """Does the work that the job file describes, together with the other ranks."""
    rank, ranks, device = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    quiet()
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s", stream=sys.stdout, force=True
    )
    work = Work.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    work.config.trainer.progress = work.config.trainer.progress and rank == 0
    store = distributed.TCPStore(
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), ranks, is_master=rank == 0, timeout=PATIENCE
    )
    try:
        with group(rank, ranks, device, store):
            do_work(work)
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        # A rank that is left alone in the group would be waited for.
        sys.stderr.flush()
        os._exit(2)


if __name__ == "__main__":
    main()
