"""A training machine needs no polars: it is imported only to read raw data."""

import json
import subprocess
import sys
from pathlib import Path

from llmrec.datasets.load import prepare
from llmrec.datasets.prepared import write_prepared
from llmrec.datasets.source import locate
from tests.datasets.dumps import write_recbole
from tests.datasets.layouts import group

PROGRAM = """
import sys
sys.modules["polars"] = None

import json
from pathlib import Path

import llmrec.run
from llmrec.datasets.load import load_dataset
from llmrec.errors import InputError

root = Path(sys.argv[1])
for dataset in json.load(sys.stdin):
    try:
        print(len(load_dataset(dataset, root, root / "cache").items))
    except InputError as error:
        print(error)
"""


def test_only_raw_data_needs_polars(tmp_path: Path) -> None:
    raw = group(name="raw", source="real", k_core=1, min_history=1)
    write_recbole(tmp_path / "raw")
    prepared = prepare(locate(raw, tmp_path, tmp_path / "cache"), raw)
    write_prepared(prepared, tmp_path / "stored")
    simulated = group(source="simulated")
    simulated["simulator"] |= {"items": 120, "users": 150}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], input=json.dumps([{**raw, "name": "stored"}, simulated, raw]),
        stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    stored, of_simulator, message = done.stdout.splitlines()
    assert int(stored) == len(prepared.items)
    assert 0 < int(of_simulator) <= 120
    assert message == (
        f"{tmp_path / 'raw'}: raw data is read with polars, which is not installed. "
        "Install it: pip install 'llmrec[prepare]'"
    )
