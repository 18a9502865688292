"""The processes of a pretraining run: one alone with plain torch, or several that accelerate holds together.

Every step's batch is the same whatever their number. Each process makes the whole batch of every n-th step and deals it
out, so that the work of making batches is shared as well; gradients are those of the mean over the whole batch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader

from training.base.objective import Objective
from training.base.stream import Batch, Stream
from training.errors import TrainingError

State = tuple[Mapping[str, Any], Mapping[str, Any]]  # of the model and of the optimiser, by parameters' names


class Alone:
    """One process."""

    rank = 0
    count = 1

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    @property
    def main(self) -> bool:
        """Whether this process writes and shows; one of all does."""
        return self.rank == 0

    def spread(self, objective: Objective, optimizer: torch.optim.Optimizer, clip: float) -> tuple[Any, Any]:
        """The two as they are trained: spread over the devices. `clip` is what `clip` will be asked for."""
        return objective, optimizer

    def batches(self, stream: Stream, first: int, steps: int, workers: int) -> Iterator[tuple[Batch, int]]:
        """This process's windows of each step from `first` on, and how many tokens all windows of the step learn."""
        for batch in self._made(stream, range(first, steps), workers):
            yield batch, batch.learned

    def _made(self, stream: Stream, steps: range, workers: int) -> DataLoader[Batch]:
        return DataLoader(stream, batch_size=None, sampler=steps, num_workers=workers, pin_memory=False)

    def unsynchronised(self, objective: Any) -> AbstractContextManager[Any]:
        """While a batch is read in parts: no gradients are exchanged before the last one."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of this process's part of the loss over the whole batch."""
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def clip(self, objective: Any, norm: float) -> None:
        """Bring the gradient's length down to `norm`."""
        torch.nn.utils.clip_grad_norm_(objective.parameters(), norm)

    def total(self, value: torch.Tensor) -> float:
        """The sum over the processes."""
        return float(value)

    def agreed(self, value: Any) -> Any:
        """The first process's value."""
        return value

    def weights(self, objective: Any) -> Mapping[str, Any]:
        """Those of the model, whole, on the processor, in the first process. All have to call this."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        whole = get_model_state_dict(objective, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        return {name.removeprefix("model."): value for name, value in whole.items()}

    def state(self, objective: Any, optimizer: Any, folder: Path, step: int) -> State:
        """Whole, on the processor, in the first process. All have to call this.

        What cannot be made whole is written into `folder`, under a name with the step in it.
        """
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_state_dict(objective, optimizer, options=options)

    def restore(self, objective: Any, optimizer: Any, folder: Path, state: State) -> None:
        """Take up what `state` gave to the first process; the others need not have it."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

        options = StateDictOptions(full_state_dict=True)
        model, optim = self.agreed(state)
        set_state_dict(
            objective, optimizer, model_state_dict=dict(model), optim_state_dict=dict(optim), options=options
        )


class Together(Alone):
    """One of several processes that a launcher started (torchrun, `accelerate launch`), under accelerate.

    How the model is spread follows from the launcher's configuration: a copy in each process (DDP), FSDP, DeepSpeed.
    """

    def __init__(self, device: str) -> None:
        from accelerate import Accelerator  # type: ignore[import-untyped]

        self._accelerator = Accelerator(cpu=device == "cpu")
        self._data = distributed.new_group(backend="gloo")  # batches are dealt out between processors
        self.rank = self._accelerator.process_index
        self.count = self._accelerator.num_processes
        self.device = self._accelerator.device

    def spread(self, objective: Objective, optimizer: torch.optim.Optimizer, clip: float) -> tuple[Any, Any]:
        objective, optimizer = self._accelerator.prepare(objective, optimizer)
        return objective, optimizer

    def batches(self, stream: Stream, first: int, steps: int, workers: int) -> Iterator[tuple[Batch, int]]:
        mine = range(first + (self.rank - first) % self.count, steps, self.count)
        made = iter(self._made(stream, mine, workers))
        for step in range(first, steps):
            owner = step % self.count
            windows, length = stream.windows(step)
            own = torch.empty((3, windows // self.count, length), dtype=torch.long)
            whole = next(made) if owner == self.rank else None
            dealt = None
            if whole is not None:
                stacked = torch.stack((whole.ids, whole.labels, whole.positions))
                dealt = [piece.contiguous() for piece in stacked.tensor_split(self.count, dim=1)]
            distributed.scatter(own, dealt, src=owner, group=self._data)
            batch = Batch(*own)
            learned = torch.tensor(batch.learned)
            distributed.all_reduce(learned, group=self._data)
            yield batch, int(learned)

    @contextmanager
    def unsynchronised(self, objective: Any) -> Iterator[None]:
        self._accelerator.sync_gradients = False  # DeepSpeed would learn from each part at once
        try:
            with self._accelerator.no_sync(objective):
                yield
        finally:
            self._accelerator.sync_gradients = True

    def backward(self, loss: torch.Tensor) -> None:
        self._accelerator.backward(loss * self.count)  # what is exchanged is the mean over the processes

    def clip(self, objective: Any, norm: float) -> None:
        self._accelerator.clip_grad_norm_(objective.parameters(), norm)

    def total(self, value: torch.Tensor) -> float:
        value = value.clone()
        distributed.all_reduce(value)
        return float(value)

    def agreed(self, value: Any) -> Any:
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self._data)
        return values[0]


class UnderDeepSpeed(Together):
    """DeepSpeed keeps the optimiser's state in pieces, and takes each process's piece to disk and back itself."""

    def spread(self, objective: Objective, optimizer: torch.optim.Optimizer, clip: float) -> tuple[Any, Any]:
        # It steps and clips by itself. A batch comes in windows of its own making, so that it has no size to know.
        decided = {"gradient_clipping": clip, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
        self._accelerator.state.deepspeed_plugin.deepspeed_config.update(decided)
        return super().spread(objective, optimizer, clip)

    def weights(self, objective: Any) -> Mapping[str, Any]:
        whole = objective.module.state_dict()
        return {name.removeprefix("model."): value.cpu() for name, value in whole.items()}

    def state(self, objective: Any, optimizer: Any, folder: Path, step: int) -> State:
        tag = f"deepspeed-{step}"
        objective.save_checkpoint(str(folder), tag=tag, save_latest=False)
        if self.main:  # the last but one belongs to the checkpoint that this one is about to replace
            kept = sorted(folder.glob("deepspeed-*"), key=lambda path: int(path.name.rpartition("-")[2]))
            for old in kept[:-2]:
                shutil.rmtree(old, ignore_errors=True)
        return {}, {"folder": tag}

    def restore(self, objective: Any, optimizer: Any, folder: Path, state: State) -> None:
        objective.load_checkpoint(str(folder), tag=self.agreed(state[1].get("folder")))


@contextmanager
def joined(device: str) -> Iterator[Alone]:
    """This process, or all that the launcher started, until the body ends. Raises TrainingError when another ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone(device)
        return
    ranks = UnderDeepSpeed(device) if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true" else Together(device)
    try:
        yield ranks
    except RuntimeError as error:
        if not _lost(error):
            raise
        why = str(error).partition("\n")[0]
        raise TrainingError(
            f"another of the {ranks.count} processes ended or cannot be reached, so this one ends too ({why}); give "
            "the same command again, and the run goes on from its last checkpoint"
        ) from error
    finally:
        distributed.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    """Whether the error says that another process no longer answers: gloo and NCCL have no class of their own."""
    signs = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting", "NCCL")
    return isinstance(error, distributed.DistError) or any(sign in str(error) for sign in signs)
