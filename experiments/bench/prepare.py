"""Bench arm: seconds and peak memory of preparing synthetic interactions, by llmrec or by plain pandas.

python experiments/bench/prepare.py llmrec|pandas csv|parquet EVENTS
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def command(arm: str, kind: str, source: Path, out: Path) -> list[str]:
    """Returns the command of an arm."""
    if arm == "pandas":
        return [sys.executable, str(HERE / "prepare_pandas.py"), str(source), kind, str(out)]
    return [sys.executable, "-m", "llmrec.prepare", "reader=generic", f"path={source}", f"out={out}"]


def main() -> None:
    """Prints one JSON line: wall seconds, processor seconds and peak memory of the command."""
    arm, kind, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "shop", Path(folder) / "set"
        # In a process of its own: Linux counts the memory of the parent that a child is started from as the child's.
        subprocess.run([sys.executable, str(HERE / "synthetic_shop.py"), source, str(events), kind], check=True)
        start = time.perf_counter()
        with open(Path(folder) / "log", "w") as log:
            child = subprocess.Popen(
                command(arm, kind, source, out), stdout=log, env=os.environ | {"LLMREC_CACHE": folder}
            )
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status or not (out / "train.parquet").is_file():
            raise SystemExit((Path(folder) / "log").read_text() or f"{arm} failed with status {status}")
    print(json.dumps({
        "arm": arm, "events": events, "seconds": round(seconds, 1), "peak_mb": round(usage.ru_maxrss / 1024),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
