"""What each of several jobs gets of the machine."""

import pytest
import torch

from llmrec.backbones.device import limit_shared_memory
from llmrec.errors import InputError
from llmrec.processes.slots import shared_slots, slots_on_gpus


def test_jobs_on_a_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert shared_slots(2) == [{"OMP_NUM_THREADS": "3", "LLMREC_SHARING_JOBS": "2"}] * 2
    assert shared_slots(9)[0] == {"OMP_NUM_THREADS": "1", "LLMREC_SHARING_JOBS": "9"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert shared_slots(1) == [{"OMP_NUM_THREADS": "2", "LLMREC_SHARING_JOBS": "1"}]
    with pytest.raises(InputError, match=r"launcher.jobs=0: give how many"):
        shared_slots(0)


def test_jobs_on_gpus_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"LLMREC_SHARING_JOBS": "1"}
    assert slots_on_gpus([0, 1, 3], 1) == [{"CUDA_VISIBLE_DEVICES": number} | alone for number in ("0", "1", "3")]
    # A job on two: the fifth is left.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,GPU-9")
    assert slots_on_gpus("all", 2) == [{"CUDA_VISIBLE_DEVICES": pair} | alone for pair in ("4,5", "6,7")]
    with pytest.raises(InputError, match=r"found 5 GPUs, a job needs 8"):
        slots_on_gpus("all", 8)


def test_small_jobs_share_gpus() -> None:
    slots = slots_on_gpus([0, 2], 1, per_gpu=2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0", "2", "0", "2"]
    assert all(slot["LLMREC_SHARING_JOBS"] == "2" for slot in slots)
    with pytest.raises(InputError, match=r"launcher.per_gpu=2 with trainer.devices=4: only jobs with one GPU"):
        slots_on_gpus([0, 1, 2, 3], 4, per_gpu=2)


def test_a_job_is_limited_to_its_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", limits.append)
    for jobs, device in (("1", "cuda"), ("4", "cuda"), ("4", "cpu")):
        monkeypatch.setenv("LLMREC_SHARING_JOBS", jobs)
        limit_shared_memory(torch.device(device))
    assert limits == [0.25]
