from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from inference.adapters import Shelf
from inference.engine import Engine
from inference.generation import Decoding
from inference.prompt import grounded
from training.base.checkpoint import Checkpoint
from training.base.model import build_model
from training.base.objective import Objective
from training.base.pretrain import PretrainArguments, pretrain
from training.base.speed import compiling_pays, operations, peak
from training.base.stream import Batch
from training.errors import RecipeError, TrainingError
from training.recipe import recipe
from training.records.progress import Progress


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return dict(model.state_dict())


def test_a_killed_run_resumed_ends_with_the_same_weights(tmp_path: Path, pretraining: Any) -> None:
    whole = pretrain(pretraining(tmp_path / "whole"), on_progress=lambda _: None)

    def kill(progress: Progress) -> None:
        if progress.step == 5:  # one step after the checkpoint at 4
            raise Killed

    broken = pretraining(tmp_path / "broken")
    with pytest.raises(Killed):
        pretrain(broken, on_progress=kill)
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    steps: list[int] = []
    resumed = pretrain(broken, on_progress=lambda progress: steps.append(progress.step))
    assert steps == [5, 6]
    assert resumed.sha256 == whole.sha256
    assert not broken.work.exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, pretraining: Any) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 3:
            raise Killed

    with pytest.raises(Killed):
        pretrain(pretraining(tmp_path), on_progress=kill)
    with pytest.raises(TrainingError, match="other arguments"):
        pretrain(pretraining(tmp_path, learning_rate=0.5), on_progress=lambda _: None)


def test_a_checkpoint_of_another_text_is_refused_and_a_broken_one_named(
    tmp_path: Path, pretraining: Any, textbooks: Path
) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 3:
            raise Killed

    prose = tmp_path / "corpus" / "prose"
    prose.mkdir(parents=True)
    (prose / "a.jsonl").write_text('{"text": "Rain falls."}\n', encoding="utf-8")
    args = pretraining(tmp_path, corpus=tmp_path / "corpus")
    with pytest.raises(Killed):
        pretrain(args, on_progress=kill)
    (prose / "a.jsonl").write_text('{"text": "Snow falls."}\n', encoding="utf-8")
    with pytest.raises(TrainingError, match="other data"):
        pretrain(args, on_progress=lambda _: None)
    whole = (args.work / "checkpoint.pt").read_bytes()
    for broken in (whole[: len(whole) // 2], b"half of one", b""):
        (args.work / "checkpoint.pt").write_bytes(broken)
        with pytest.raises(TrainingError, match="cannot be read"):
            Checkpoint.load(args.work, "")


def test_a_batch_read_in_parts_teaches_the_same(tmp_path: Path, pretraining: Any) -> None:
    def losses(folder: Path, **changes: Any) -> list[float]:
        seen: list[float] = []
        args = pretraining(folder, batch_tokens=1536, **changes)
        pretrain(args, on_progress=lambda progress: seen.append(progress.loss))
        return seen

    whole = losses(tmp_path / "whole")
    parts = losses(tmp_path / "parts", micro_tokens=512)
    assert parts == pytest.approx(whole, rel=1e-5)
    assert len(set(whole)) == 6


def test_compiling_is_not_tried_where_it_cannot_pay(pretraining: Any, tmp_path: Path, base: Path) -> None:
    args = pretraining(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    objective = Objective(build_model(args, tokenizer), torch.device("cpu"))
    ids = torch.randint(3, 100, (2, 256))
    assert not compiling_pays(objective, Batch(ids, ids, torch.arange(256).expand(2, -1)), steps=10)
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_the_operations_of_a_step_are_those_of_its_matrices(pretraining: Any, tmp_path: Path, base: Path) -> None:
    model = build_model(pretraining(tmp_path), AutoTokenizer.from_pretrained(base, local_files_only=True))
    layers = sum(p.numel() for name, p in model.model.layers.named_parameters() if p.dim() == 2)
    vocabulary = model.lm_head.weight.numel()
    attention = 2 * 2 * 16 * 256 / 2  # two products over half of the window, in each of two layers
    assert operations(model.config, 512, 256, 100) == 3 * (512 * (2 * layers + 2 * attention) + 2 * 100 * vocabulary)
    assert peak(torch.device("cpu")) is None


def test_it_learns(tmp_path: Path, pretraining: Any) -> None:
    losses: list[float] = []
    args = pretraining(tmp_path, steps=60, short_steps=60, grounded=0.0, learning_rate=5e-3, evaluate_every=60)
    report = pretrain(args, on_progress=lambda progress: losses.append(progress.loss))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert report.tokens == 60 * 512
    assert 0.0 <= report.copied <= 1.0


def test_what_is_saved_is_what_the_engine_serves(base: Path, tmp_path: Path) -> None:
    assert max(path.stat().st_size for path in base.iterdir()) < 15 * 2**20
    assert {path.stat().st_mode & 0o777 for path in base.iterdir()} == {0o644}
    engine = Engine(base, Shelf(tmp_path), threads=1, dtype="float32", device="cpu")
    assert engine.context == 512
    messages = grounded("What is sound?", ["Sound is energy."])
    answer = engine.generate(messages, decoding=Decoding(temperature=0, max_new_tokens=3), on_text=lambda _: True)
    assert answer.tokens in {1, 2, 3}


def test_no_tokenizer_is_an_error(tmp_path: Path, base: Path, pretraining: Any) -> None:
    args = pretraining(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(TrainingError, match="no tokenizer"):
        pretrain(args)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 30, "heads": 4},
        {"heads": 4, "kv_heads": 3},
        {"hidden": 12, "heads": 4},  # 3 dimensions a head: RoPE turns pairs
        {"layers": 1},
        {"short": 2048},
        {"batch_tokens": 100},
        {"warmup": 1500, "steps": 1000, "short_steps": 10},
        {"short_steps": 9999},
        {"grounded": 1.1},
        {"validation": 0.0},
        {"precision": "float16"},
        {"compile": "yes"},
        {"micro_tokens": 100},
        {"device": "tpu"},
        {"learning_rate": 0.0},
        {"threads": -1},
    ],
)
def test_bad_combinations_are_rejected(changes: dict[str, Any]) -> None:
    folder = Path("somewhere")
    with pytest.raises(RecipeError):
        PretrainArguments(folder, folder, folder, **changes)


def copied(model: LlamaForCausalLM, vocabulary: int) -> float:
    """The share of a repeated random sequence that is predicted right the second time."""
    ids = torch.randint(3, vocabulary, (100,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        predicted = model(torch.cat([ids, ids]).unsqueeze(0)).logits[0].argmax(dim=-1)
    return float((predicted[100:-1] == ids[1:]).float().mean())


def test_the_shipped_recipe_starts_able_to_copy_and_noise_does_not(base: Path) -> None:
    args = recipe("base-cpu").pretrain
    assert args is not None
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    able, unable = (build_model(replace(args, copying=copying), tokenizer) for copying in (True, False))
    assert copied(able, len(tokenizer)) > 0.5
    assert copied(unable, len(tokenizer)) < 0.1
