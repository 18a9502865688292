from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from inference import weights
from inference.adapters import AdapterCard, Shelf
from inference.errors import AdapterRefused, ModelMissing
from inference.weights import Models, Replaced, decode_seconds, load_base, local_folder

# PEFT 0.21 reads a property that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.arange(3, 40).unsqueeze(0)

MakeAdapter = Callable[..., AdapterCard]


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits[0].float()
    return found


def models_of(base: Path, shelf: Shelf, *, dtype: str = "float32", limit: int = 2) -> Models[Any]:
    return Models(base, shelf, dtype=dtype, device="cpu", limit=limit, make=lambda model: model)


def test_a_merged_copy_computes_what_peft_computes_unmerged(
    base: Path, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    card = make_adapter(shelf)
    plain, _ = load_base(base, "float32", "cpu")
    expected = logits(plain)
    adapted = logits(PeftModel.from_pretrained(plain, str(shelf.folder(card.id))).eval())
    models = models_of(base, shelf)
    torch.testing.assert_close(logits(models.get(card)), adapted, rtol=1e-4, atol=1e-4)
    assert (adapted - expected).abs().max() > 0.1  # the adapter does something
    torch.testing.assert_close(logits(models.get(None)), expected, rtol=0, atol=0)  # and the base is untouched


def test_merging_in_bfloat16_rounds_once(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    """The weights are those of a merge in float32, then rounded; the sum of rounded parts would be further off."""
    card = make_adapter(shelf)
    reference, _ = load_base(base, "float32", "cpu")
    exact = PeftModel.from_pretrained(reference, str(shelf.folder(card.id))).merge_and_unload()
    merged = models_of(base, shelf, dtype="bfloat16").get(card)
    expected = dict(exact.named_parameters())
    for name, parameter in merged.named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, expected[name].to(torch.bfloat16)), name


def test_the_rotary_frequencies_stay_exact_in_bfloat16(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    exact, _ = load_base(base, "float32", "cpu")
    half, _ = load_base(base, "float32", "cpu")
    weights.cast(half, torch.bfloat16)
    merged = models_of(base, shelf, dtype="bfloat16").get(make_adapter(shelf))
    for model in (half, merged):
        assert torch.equal(model.model.rotary_emb.inv_freq, exact.model.rotary_emb.inv_freq)


def test_tied_weights_stay_tied(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    merged = models_of(base, shelf, dtype="bfloat16").get(make_adapter(shelf))
    assert merged.lm_head.weight is merged.model.embed_tokens.weight


def test_the_least_used_copy_goes_first(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    a, b, c = (make_adapter(shelf, seed=seed) for seed in (1, 2, 3))
    models = models_of(base, shelf, limit=2)
    first, second = models.get(a), models.get(b)
    assert models.get(a) is first  # kept, and now the most recent
    models.get(c)
    assert models.get(a) is first
    again = models.get(b)
    assert again is not second
    assert torch.equal(logits(again), logits(second))


def test_what_is_in_use_is_never_let_go(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    a, b, c = (make_adapter(shelf, seed=seed) for seed in (1, 2, 3))
    models = models_of(base, shelf, limit=2)
    first, second = models.get(a), models.get(b)
    assert not models.room(c.id, in_use={a.id, b.id})
    assert models.room(a.id, in_use={a.id, b.id})  # it is there
    assert models.room(c.id, in_use={a.id})
    models.get(c, in_use={a.id})
    assert models.get(a) is first
    assert models.get(b, in_use={a.id}) is not second


def test_the_base_model_stays_while_it_is_in_use(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    models = models_of(base, shelf, limit=2)
    plain = models.get(None)
    models.get(make_adapter(shelf, seed=1), in_use={None})
    assert models.get(None) is plain
    models.get(make_adapter(shelf, seed=2), in_use={None})
    assert models.get(None) is plain


def test_the_base_model_makes_room_for_an_adapter_and_comes_back_when_asked_for(
    base: Path, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    models, card = models_of(base, shelf), make_adapter(shelf)
    first = weakref.ref(models.get(None))
    adapted = models.get(card)
    assert first() is None  # its memory has been given back
    again = models.get(None)
    assert (models.get(None), models.get(card)) == (again, adapted)  # side by side, as /compare wants them


def test_an_adapter_is_not_merged_into_a_base_model_that_was_replaced(
    base: Path, other_base: Path, shelf: Shelf, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    shutil.copytree(base, folder)
    models, card = models_of(folder, shelf), make_adapter(shelf)
    shutil.copy(other_base / "model.safetensors", folder / "new")
    (folder / "new").replace(folder / "model.safetensors")
    with pytest.raises(Replaced):
        models.get(card)


def test_nothing_altered_or_foreign_is_loaded(
    base: Path, other_base: Path, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    card = make_adapter(shelf)
    with pytest.raises(AdapterRefused, match="trained on base model"):
        models_of(other_base, shelf).get(card)
    path = shelf.folder(card.id) / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(AdapterRefused, match="altered"):
        models_of(base, shelf).get(card)


@pytest.mark.parametrize(
    ("bf16", "seconds", "chosen"),
    [
        (True, [1.0, 0.5], "bfloat16"),
        (True, [1.0, 0.98], "float32"),
        (True, [1.0, 3.0], "float32"),
        (False, [], "float32"),
    ],
    ids=["faster", "hardly faster", "slower", "not supported"],
)
def test_the_faster_precision_is_chosen(
    base: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, seconds: list[float], chosen: str
) -> None:
    clock = iter(seconds)
    monkeypatch.setattr(weights, "_cpu_has_bf16", lambda: bf16)
    monkeypatch.setattr(weights, "decode_seconds", lambda _: next(clock))
    model, dtype = load_base(base, "auto", "cpu")
    assert dtype == chosen
    expected, _ = load_base(base, chosen, "cpu")
    assert torch.equal(logits(model), logits(expected))  # in particular: nothing was lost by having tried bfloat16
    assert next(clock, None) is None


def test_a_decode_step_is_measured(base: Path) -> None:
    model, _ = load_base(base, "float32", "cpu")
    assert 0 < decode_seconds(model, steps=2, rounds=1) < 60


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "nothing", Path("relative/folder")])
def test_a_place_that_is_no_model_is_said_so_without_asking_the_hub(name: str | Path) -> None:
    with pytest.raises(ModelMissing, match="sahpathi train pretrain"):
        local_folder(name)


def test_a_name_the_hub_does_not_give_is_a_missing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissing, match="nobody/no-such-model"):
        local_folder("nobody/no-such-model")


def test_broken_weights_are_a_missing_model(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        load_base(folder, "float32", "cpu")


def test_incomplete_weights_are_not_filled_with_noise(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incomplete"
    shutil.copytree(base, folder)
    tensors = load_file(base / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelMissing, match="1 tensors"):
        load_base(folder, "float32", "cpu")
