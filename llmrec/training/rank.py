"""Entry point of one rank of a distributed run: python -m llmrec.training.rank <job file>, started by ranks.py."""

import os
import sys
from pathlib import Path

from torch import distributed

from llmrec.errors import InputError
from llmrec.training.ranks import exit_at_once, run_worker
from llmrec.training.rendezvous import RANK_TIMEOUT
from llmrec.training.work import Work


def main() -> None:
    """Does this rank's part of the work that the job file describes."""
    rank, ranks, device = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    work = Work.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = distributed.TCPStore(address, port, is_master=False, timeout=RANK_TIMEOUT)
    try:
        run_worker(work, rank, ranks, device, store)
    except InputError as error:
        exit_at_once(error)


if __name__ == "__main__":
    main()
