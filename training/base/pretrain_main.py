"""Pretraining under a launcher that starts several processes: torchrun or `accelerate launch`.

    torchrun --nproc-per-node 8 -m training.base.pretrain_main --recipe pretrain-accelerator --corpus DIR

It needs torch, transformers and accelerate, but nothing of the service. In one process it does what `sahpathi train
pretrain` does.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from training.errors import RecipeError, TrainingError

_TOLD = 2  # processes of a machine that say why a run ended: the first, and the second if it was the first that died


def main() -> None:
    """Train as the arguments say. An error of ours is one clear line and exit status 2; Ctrl-C is 130."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bot.cli does: threads that spin take each other's cores
    local, count = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("training").setLevel(logging.INFO if local == 0 else logging.ERROR)
    signal.signal(signal.SIGTERM, _ended)  # the launcher's way of ending the others when one has died
    try:
        _run(_arguments())
    except TrainingError as error:
        if local < _TOLD:
            name = f"process {os.environ['RANK']} of {count}: " if count > 1 else ""
            print(f"pretrain: {name}{error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _ended(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise TrainingError(
        "was told to end, by the launcher because another process did, or from outside; give the same command again, "
        "and the run goes on from its last checkpoint"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="training.base.pretrain_main", description="Pretrain the base model.")
    parser.add_argument("--recipe", default="pretrain-accelerator", help="a shipped recipe's name or a YAML file")
    parser.add_argument("--corpus", type=Path, help="folder with prose/*.jsonl[.xz] to add")
    parser.add_argument("--output", type=Path, help="folder of the tokenizer, which receives the model")
    parser.add_argument("--work", type=Path, help="folder for the checkpoint")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: the recipe's")
    return parser.parse_args()


def _run(given: argparse.Namespace) -> None:
    from training.base.pretrain import pretrain
    from training.recipe import recipe

    arguments = recipe(
        given.recipe, **{name: value for name, value in vars(given).items() if name != "recipe"}
    ).pretrain
    if arguments is None:
        raise RecipeError(f"the recipe {given.recipe} has no section pretrain")
    report = pretrain(arguments)
    if os.environ.get("RANK", "0") == "0":
        print(report.summary())


if __name__ == "__main__":
    main()
