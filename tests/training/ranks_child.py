"""One of the processes that tests/training/test_distributed.py starts with torchrun: `ranks_child.py PLAN`.

PLAN is a JSON file: a list of runs, one after the other, each with `recipe` (a YAML file), `spread` ("ddp" or "fsdp")
and either `losses` (the file that receives the losses of its steps) or `dies` (the step before which the last process
is killed; the others then end as training.base.pretrain_main ends them).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import accelerate  # type: ignore[import-untyped]
from accelerate.state import AcceleratorState, PartialState  # type: ignore[import-untyped]
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin  # type: ignore[import-untyped]
from torch import distributed

from training.base import loop, pretrain_main
from training.base.pretrain import pretrain
from training.recipe import recipe
from training.records.progress import Progress

_Accelerator = accelerate.Accelerator


class Sharding(accelerate.Accelerator):  # type: ignore[misc]
    """accelerate with FSDP on processors, which it could do but offers for GPUs only."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        AcceleratorState._shared_state["fsdp_plugin"] = FullyShardedDataParallelPlugin()
        for state in (AcceleratorState, PartialState):
            state._shared_state["distributed_type"] = DistributedType.FSDP


def main() -> None:
    # The launcher's store takes a group of processes once: the runs share one.
    library: Any = distributed
    leave, library.destroy_process_group = library.destroy_process_group, lambda: None
    for run in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        accelerate.Accelerator = Sharding if run["spread"] == "fsdp" else _Accelerator
        if "dies" in run:
            _die_before(run["dies"])
            sys.argv = ["pretrain_main", "--recipe", run["recipe"]]
            pretrain_main.main()
        losses: list[float] = []
        args = recipe(Path(run["recipe"])).pretrain
        assert args is not None
        report = pretrain(args, on_progress=partial(_keep, losses))
        if os.environ["RANK"] == "0":
            seen = {"losses": losses, "sha256": report.sha256, "copied": report.copied}
            Path(run["losses"]).write_text(json.dumps(seen), encoding="utf-8")
        AcceleratorState._reset_state(reset_partial_state=True)
    leave()


def _keep(losses: list[float], progress: Progress) -> None:
    losses.append(progress.loss)


def _die_before(step: int) -> None:
    module: Any = loop
    one_step = loop._step

    def until(run: loop.Run, *given: Any) -> float:
        if run.step == step and run.ranks.rank == run.ranks.count - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return one_step(run, *given)

    module._step = until


if __name__ == "__main__":
    main()
