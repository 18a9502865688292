"""Pretraining in two processes of the processor, over gloo, against one process with the same recipe."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file  # type: ignore[import-untyped]
from accelerate.commands.launch import (  # type: ignore[import-untyped]
    _validate_launch_command,
    launch_command_parser,
)
from accelerate.utils import FullyShardedDataParallelPlugin  # type: ignore[import-untyped]
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env  # type: ignore[import-untyped]
from transformers import AutoTokenizer

from training.base.model import build_model
from training.base.pretrain import PretrainArguments, _check_shares, pretrain
from training.base.ranks import Alone
from training.errors import TrainingError
from training.recipe import RECIPES

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("ranks_child.py")


def by_torchrun(plan: Path) -> subprocess.CompletedProcess[str]:
    """Two processes, under the launcher that ends one when the other dies."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(CHILD), str(plan)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def by_hand(plan: Path) -> list[subprocess.CompletedProcess[str]]:
    """Two processes with the environment that torchrun gives them: it takes seconds to start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {
        **environment(),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    started = [
        subprocess.Popen(
            [sys.executable, CHILD, plan],
            env={**shared, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [one.communicate(timeout=300)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    return [subprocess.CompletedProcess(one.args, one.returncode, out) for one, out in zip(started, said, strict=True)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **configured("fsdp")[1]}


def planned(place: Path, *runs: dict[str, Any]) -> Path:
    place.write_text(json.dumps(runs), encoding="utf-8")
    return place


def written(args: PretrainArguments, place: Path) -> str:
    """The arguments as a recipe."""
    values = {name: str(v) if isinstance(v, Path) else v for name, v in dataclasses.asdict(args).items()}
    place.write_text(yaml.safe_dump({"pretrain": values}), encoding="utf-8")
    return str(place)


def seen(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_two_processes_learn_as_one_and_go_on_where_one_of_them_died(tmp_path: Path, pretraining: Any) -> None:
    def arguments(name: str, **changes: Any) -> PretrainArguments:
        args: PretrainArguments = pretraining(tmp_path / name, batch_tokens=2048, **changes)
        return args

    losses: list[float] = []
    alone = pretrain(arguments("alone"), on_progress=lambda progress: losses.append(progress.loss))

    two = arguments("two")
    recipe = written(two, tmp_path / "two.yaml")
    died = by_torchrun(planned(tmp_path / "dies.json", {"recipe": recipe, "spread": "ddp", "dies": 5}))
    assert died.returncode != 0
    said = [line for line in died.stderr.splitlines() if line.startswith("pretrain: ")]
    assert len(said) == 1, died.stderr
    assert "process 0 of 2" in said[0]
    assert "goes on from its last checkpoint" in said[0]
    assert "RuntimeError" not in died.stderr
    state = torch.load(two.work / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4
    assert not (two.output / "model.safetensors").exists()

    one, sharded = arguments("one"), arguments("sharded", checkpoint_every=1)
    for other in (one, sharded):
        shutil.copytree(two.work, other.work)
    on: list[float] = []
    with_one = pretrain(one, on_progress=lambda progress: on.append(progress.loss))
    whole = arguments("whole", micro_tokens=512)
    plan = [
        {"recipe": recipe, "spread": "ddp", "losses": str(tmp_path / "two.json")},
        {"recipe": written(whole, tmp_path / "whole.yaml"), "spread": "ddp", "losses": str(tmp_path / "whole.json")},
        {"recipe": written(sharded, tmp_path / "s.yaml"), "spread": "fsdp", "losses": str(tmp_path / "sharded.json")},
    ]
    for done in by_hand(planned(tmp_path / "plan.json", *plan)):
        assert done.returncode == 0, done.stdout
    assert seen(tmp_path / "whole.json")["losses"] == pytest.approx(losses, rel=1e-5)
    assert seen(tmp_path / "two.json")["losses"] == pytest.approx(losses[4:], rel=1e-5)
    assert seen(tmp_path / "sharded.json")["losses"] == pytest.approx(losses[4:], rel=1e-5)
    assert on == pytest.approx(losses[4:], rel=1e-5)
    assert with_one.parameters == alone.parameters
    assert seen(tmp_path / "two.json")["copied"] == pytest.approx(alone.copied, abs=0.02)
    for folder in (two, sharded, whole):
        assert (folder.output / "model.safetensors").is_file()
        assert not folder.work.exists()


@pytest.mark.parametrize(("count", "fits"), [(1, True), (2, True), (3, False), (4, False)])
def test_windows_that_cannot_be_shared_evenly_are_an_error(
    tmp_path: Path, pretraining: Any, count: int, fits: bool
) -> None:
    ranks = Alone("cpu")
    ranks.count = count
    args = pretraining(tmp_path, batch_tokens=1024)  # 4 windows of 256, 2 of 512
    if fits:
        _check_shares(args, ranks)
        return
    with pytest.raises(TrainingError, match=f"{count} processes cannot share evenly"):
        _check_shares(args, ranks)


def configured(name: str) -> tuple[Any, dict[str, str]]:
    """What `accelerate launch --config_file` makes of a shipped configuration: arguments, and environment."""
    file = str(RECIPES / "accelerate" / f"{name}.yaml")
    given = ["--config_file", file, "--num_processes", "4", "-m", "training.base.pretrain_main", "--recipe", "x"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    assert load_config_from_file(file).num_machines == 1
    if name == "fsdp":
        return args, prepare_multi_gpu_env(args)
    args.deepspeed_fields_from_accelerate_config = ""  # as accelerate's launcher does before it asks for it
    return args, prepare_deepspeed_cmd_env(args)[1]


def test_the_fsdp_configuration_wraps_the_layers_of_our_model(
    base: Path, tmp_path: Path, pretraining: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, environment = configured("fsdp")
    assert args.use_fsdp
    assert (args.num_processes, args.mixed_precision) == (4, "no")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    model = build_model(pretraining(tmp_path), AutoTokenizer.from_pretrained(base, local_files_only=True))
    plugin.set_auto_wrap_policy(model)
    assert plugin.auto_wrap_policy.keywords["transformer_layer_cls"] == {type(model.model.layers[0])}


def test_the_deepspeed_configuration_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    args, environment = configured("deepspeed-zero2")
    assert args.use_deepspeed
    assert (args.num_processes, args.mixed_precision) == (4, "no")
    assert environment["ACCELERATE_USE_DEEPSPEED"] == "true"
    assert environment["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "2"
    assert environment["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] == "1"
