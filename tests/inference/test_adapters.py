from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inference import history
from inference.adapters import AdapterCard, Canary, Shelf, adapter_sha256, model_sha256, read_card, write_card
from inference.engine import Engine
from inference.errors import AdapterRefused, ModelMissing
from inference.generation import Decoding, Message

# PEFT 0.21 reads a property that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

MakeAdapter = Callable[..., AdapterCard]

BASE = "b" * 64


def make(root: Path, subject: str = "science", *, weights: bytes = b"weights", base: str = BASE) -> AdapterCard:
    """An adapter whose files are plain bytes: nothing here reads them."""
    folder = root / "new"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(weights)
    write_card(
        folder,
        subject=subject,
        base_sha256=base,
        dataset_sha256="d" * 64,
        recipe={"rank": 4, "modules": ["q_proj"]},
        scores={"loss": 1.25},
        examples=7,
        language="hi",
    )
    return Shelf(root).add(folder)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return tmp_path / "shipped"


def test_a_card_survives_being_written_and_read(own: Path) -> None:
    card = make(own)
    digest = hashlib.sha256(b'{"r": 4}' + b"weights").hexdigest()
    assert card.sha256 == digest
    assert card.id == f"science-{digest[:12]}"
    assert (own / card.id / "card.json").is_file()
    assert read_card(own / card.id) == card
    assert (card.recipe, card.scores, card.examples, card.language) == (
        {"rank": 4, "modules": ["q_proj"]},
        {"loss": 1.25},
        7,
        "hi",
    )


def test_the_hash_of_a_model_covers_configuration_tokenizer_and_all_shards_in_order(tmp_path: Path) -> None:
    contents = {"config.json": b"c", "tokenizer.json": b"t", "model-2.safetensors": b"2", "model-1.safetensors": b"1"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert model_sha256(tmp_path) == hashlib.sha256(b"ct12").hexdigest()
    (tmp_path / "README.md").write_text("not part of it")
    assert model_sha256(tmp_path) == hashlib.sha256(b"ct12").hexdigest()


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_model_is_missing(tmp_path: Path, missing: str) -> None:
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelMissing, match="sahpathi train pretrain"):
        model_sha256(tmp_path)


def test_promotion_is_seen_by_a_shelf_that_is_already_open(own: Path) -> None:
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf, elsewhere = Shelf(own), Shelf(own)
    assert shelf.current("science") is None
    elsewhere.promote(first)
    assert shelf.current("science") == first
    elsewhere.promote(second)
    assert shelf.current("science") == second
    elsewhere.promote(first)  # roll back
    assert shelf.current("science") == first


def test_promoting_one_subject_leaves_the_others(own: Path) -> None:
    science, general = make(own), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(science)
    shelf.promote(general)
    assert json.loads((own / "current.json").read_text()) == {"general": general.id, "science": science.id}
    assert [path.name for path in own.glob(".*")] == [".lock"]  # nothing half written is left


def test_the_general_adapter_serves_subjects_without_their_own(own: Path) -> None:
    science, general = make(own), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(science)
    shelf.promote(general)
    assert shelf.current("history") == shelf.current(None) == shelf.current() == general
    assert shelf.current("science") == science


def test_the_operators_promotion_goes_before_the_shipped_one(own: Path, shipped: Path) -> None:
    theirs, ours = make(shipped, weights=b"1"), make(own, weights=b"2")
    Shelf(shipped).promote(theirs)
    shelf = Shelf(own, shipped)
    assert shelf.current("science") == theirs
    shelf.promote(ours)
    assert shelf.current("science") == ours
    shelf.promote(theirs)  # a shipped adapter may be promoted; the shipped folder is not written to
    assert shelf.current("science") == theirs
    assert json.loads((own / "current.json").read_text()) == {"science": theirs.id}


def test_a_shipped_subject_goes_before_the_operators_general_adapter(own: Path, shipped: Path) -> None:
    science, general = make(shipped), make(own, "general")
    Shelf(shipped).promote(science)
    shelf = Shelf(own, shipped)
    shelf.promote(general)
    assert shelf.current("science") == science


def test_adapters_for_another_base_model_are_passed_over(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign, general = make(own, base="f" * 64), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(foreign)
    shelf.promote(general)
    assert shelf.current("science", base_sha256=BASE) == general
    assert shelf.current("science", base_sha256=BASE) == general
    assert shelf.current("science", base_sha256="e" * 64) is None
    assert sum(foreign.id in record.message for record in caplog.records) == 1  # said once, not at each question


@pytest.mark.parametrize("content", ["{", "[1]", "7"])
def test_an_unreadable_promotion_falls_back_and_can_be_replaced(own: Path, shipped: Path, content: str) -> None:
    theirs, ours = make(shipped, weights=b"1"), make(own, weights=b"2")
    Shelf(shipped).promote(theirs)
    (own / "current.json").write_text(content)
    shelf = Shelf(own, shipped)
    assert shelf.current("science") == theirs
    shelf.promote(ours)
    assert shelf.current("science") == ours


def test_a_promoted_adapter_that_is_gone_is_passed_over(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    general = make(own, "general")
    shelf = Shelf(own)
    shelf.promote(general)
    (own / "current.json").write_text(json.dumps({"science": "science-000000000000", "general": general.id}))
    with caplog.at_level(logging.WARNING):
        assert shelf.current("science") == general
    assert "science-000000000000" in caplog.text


def test_only_what_exists_can_be_promoted(own: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere")
    with pytest.raises(AdapterRefused, match=elsewhere.id):
        Shelf(own).promote(elsewhere)


@pytest.mark.parametrize("name", ["../elsewhere", "science", "", "/etc", "science-0123456789ab/../x", "current"])
def test_an_id_cannot_lead_out_of_the_shelf(own: Path, name: str) -> None:
    make(own)
    with pytest.raises(AdapterRefused, match="adapters list"):
        Shelf(own).find(name)


def test_an_altered_adapter_is_refused(own: Path) -> None:
    card = make(own)
    Shelf(own).verify(card, BASE)
    (own / card.id / "adapter_model.safetensors").write_bytes(b"weightz")
    with pytest.raises(AdapterRefused, match="altered"):
        Shelf(own).verify(card, BASE)


def test_an_adapter_for_another_base_model_is_refused(own: Path) -> None:
    with pytest.raises(AdapterRefused, match="trained on base model bbbbbbbbbbbb"):
        Shelf(own).verify(make(own), "c" * 64)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_incomplete_adapter_is_refused(own: Path, name: str) -> None:
    card = make(own)
    (own / card.id / name).unlink()
    with pytest.raises(AdapterRefused, match=f"{name} missing"):
        Shelf(own).verify(card, BASE)
    with pytest.raises(AdapterRefused, match=f"{name} missing"):
        adapter_sha256(own / card.id)


def _spoil(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(b"\xff"),
        _spoil(lambda raw: raw.pop("language")),
        _spoil(lambda raw: raw.update(sha256="0" * 64)),
        _spoil(lambda raw: raw.update(subject="../x")),
    ],
)
def test_an_unreadable_card_is_refused_and_left_out_of_the_list(own: Path, spoil: Callable[[Path], None]) -> None:
    good, bad = make(own, "general"), make(own)
    spoil(own / bad.id / "card.json")
    shelf = Shelf(own)
    with pytest.raises(AdapterRefused, match=r"card\.json"):
        shelf.find(bad.id)
    assert shelf.list() == [good]


def test_a_card_must_stand_in_the_folder_of_its_name(own: Path) -> None:
    card = make(own)
    other = f"science-{'0' * 12}"
    (own / card.id).rename(own / other)
    with pytest.raises(AdapterRefused, match=card.id):
        Shelf(own).find(other)


def test_the_list_has_each_adapter_once_newest_first(own: Path, shipped: Path) -> None:
    old = make(shipped, weights=b"1")
    new = make(own, weights=b"2")
    make(own, weights=b"1")  # the same adapter in both roots
    path = own / new.id / "card.json"
    newer = replace(new, created="2999-01-01T00:00:00+00:00")
    path.write_text(path.read_text().replace(new.created, newer.created))
    assert [card.id for card in Shelf(own, shipped).list()] == [new.id, old.id]


def test_adding_the_same_adapter_again_keeps_the_first(own: Path) -> None:
    first = make(own)
    assert make(own).sha256 == first.sha256
    assert Shelf(own).find(first.id) == first


@pytest.mark.parametrize("subject", ["Science", "a b", "../x", "", "-x", "विज्ञान"])
def test_a_subject_that_cannot_name_a_folder_is_refused(own: Path, subject: str) -> None:
    with pytest.raises(ValueError, match="a subject is"):
        make(own, subject)


def deeds(shelf: Shelf) -> list[tuple[str, str, str]]:
    return [(deed.did, deed.id, deed.by) for deed in shelf.history()]


def test_the_history_keeps_who_promoted_what_and_against_which_gate(own: Path) -> None:
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf = Shelf(own)
    shelf.promote(first, by="Asha", gate="passed")
    shelf.promote(second, by="Ravi", gate="failed", reason="the exam is tomorrow")
    shelf.rollback("science", by="Asha")
    assert deeds(shelf) == [
        ("promoted", first.id, "Asha"),
        ("promoted", second.id, "Ravi"),
        ("taken back", second.id, "Asha"),
    ]
    overruled = shelf.history(second.id)[0]
    assert (overruled.gate, overruled.reason, overruled.before) == ("failed", "the exam is tomorrow", first.id)
    assert shelf.history("science-000000000000") == ()


def test_the_way_back_leads_through_every_promotion_to_what_was_shipped(own: Path, shipped: Path) -> None:
    theirs = make(shipped, weights=b"0")
    Shelf(shipped).promote(theirs)
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf, elsewhere = Shelf(own, shipped), Shelf(own, shipped)
    for card in (first, second, first):
        shelf.promote(card, by="Asha")
    assert elsewhere.current("science") == first
    assert [shelf.rollback("science") for _ in range(3)] == [second, first, theirs]
    assert elsewhere.current("science") == theirs
    with pytest.raises(AdapterRefused, match="nothing to take back"):
        shelf.rollback("science")


def test_the_way_back_may_lead_to_a_shipped_adapter_chosen_by_name(own: Path, shipped: Path) -> None:
    theirs, ours = make(shipped, weights=b"0"), make(own, weights=b"1")
    shelf = Shelf(own, shipped)
    shelf.promote(theirs, by="Asha")
    shelf.promote(ours, by="Asha")
    assert shelf.rollback("science") == theirs


def test_taking_back_one_subject_leaves_the_others(own: Path) -> None:
    science, general = make(own), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(general, by="Asha")
    shelf.promote(science, by="Asha")
    assert shelf.rollback("general") is None
    assert shelf.current("science") == science


def test_a_promotion_that_was_written_down_but_not_done_is_not_gone_back_to(own: Path) -> None:
    first, second, third = (make(own, weights=weights) for weights in (b"1", b"2", b"3"))
    shelf = Shelf(own)
    shelf.promote(first, by="Asha")
    shelf.promote(second, by="Asha")
    history.add(own, history.Deed("promoted", third.id, history.now(), "Ravi", subject="science", before=second.id))
    assert shelf.current("science") == second  # the process ended before it was done
    assert shelf.rollback("science") == first


def test_a_torn_line_of_the_history_hides_only_itself(own: Path) -> None:
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf = Shelf(own)
    shelf.promote(first, by="Asha")
    with (own / "history.jsonl").open("a") as file:
        file.write('{"did": "promo')
    shelf.promote(second, by="Ravi")
    assert [deed.by for deed in shelf.history()] == ["Asha", "Ravi"]
    assert shelf.rollback("science") == first


def test_promoting_what_answers_already_changes_nothing(own: Path) -> None:
    card = make(own)
    shelf = Shelf(own)
    shelf.promote(card, by="Asha")
    shelf.promote(card, by="Ravi")
    assert [deed.by for deed in shelf.history()] == ["Asha"]


@pytest.mark.parametrize("how", ["promote", "rollback", "canary"])
def test_nothing_altered_is_put_in_use(own: Path, how: str) -> None:
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf = Shelf(own)
    if how == "rollback":
        shelf.promote(first, by="Asha")
        shelf.promote(second, by="Asha")
    (own / first.id / "adapter_model.safetensors").write_bytes(b"other")
    before = shelf.current("science")
    do: dict[str, Callable[[], object]] = {
        "promote": lambda: shelf.promote(first, by="Asha"),
        "rollback": lambda: shelf.rollback("science"),
        "canary": lambda: shelf.start_canary(first, 0.5, by="Asha"),
    }
    with pytest.raises(AdapterRefused, match="altered"):
        do[how]()
    assert shelf.current("science") == before
    assert shelf.canaries() == {}


def test_a_canary_gets_its_share_and_a_conversation_always_the_same(own: Path) -> None:
    used, tried = make(own, weights=b"1"), make(own, weights=b"2")
    shelf, elsewhere = Shelf(own), Shelf(own)
    shelf.promote(used, by="Asha")
    shelf.start_canary(tried, 0.25, by="Asha")
    names = [str(number) for number in range(2000)]
    chosen = {name: elsewhere.current("science", conversation=name) for name in names}
    assert 0.2 < sum(card == tried for card in chosen.values()) / len(names) < 0.3
    assert {name: Shelf(own).current("science", conversation=name) for name in names} == chosen
    assert elsewhere.current("science") == used  # no conversation, no canary


def test_a_wider_share_keeps_those_who_had_the_canary(own: Path) -> None:
    narrow, wide = (Canary("science-0123456789ab", share, "", "") for share in (0.1, 0.4))
    names = [str(number) for number in range(500)]
    assert {name for name in names if narrow.takes(name)} < {name for name in names if wide.takes(name)}


def test_another_canary_takes_other_conversations() -> None:
    first, second = (Canary(f"science-{digit * 12}", 0.5, "", "") for digit in "ab")
    names = [str(number) for number in range(500)]
    assert 150 < sum(first.takes(name) != second.takes(name) for name in names) < 350


@pytest.mark.parametrize("how", ["end", "promote", "rollback"])
def test_a_canary_ends(own: Path, how: str) -> None:
    used, tried = make(own, weights=b"1"), make(own, weights=b"2")
    shelf = Shelf(own)
    shelf.promote(used, by="Asha")
    shelf.start_canary(tried, 0.9, by="Asha")
    if how == "end":
        assert shelf.end_canary("science", by="Ravi").id == tried.id
    elif how == "promote":
        shelf.promote(tried, by="Ravi")
    else:
        shelf.rollback("science", by="Ravi")
    assert shelf.canaries() == {}
    assert deeds(shelf)[-1] == ("canary ended", tried.id, "Ravi")
    with pytest.raises(AdapterRefused, match="no canary"):
        shelf.end_canary("science")


def test_a_canary_for_another_base_model_is_passed_over(own: Path) -> None:
    used, foreign = make(own, weights=b"1"), make(own, weights=b"2", base="f" * 64)
    shelf = Shelf(own)
    shelf.promote(used, by="Asha")
    shelf.start_canary(foreign, 0.99, by="Asha")
    assert all(shelf.current("science", base_sha256=BASE, conversation=str(n)) == used for n in range(20))


def test_a_general_canary_leaves_a_subject_with_its_own_adapter_alone(own: Path) -> None:
    science, general = make(own), make(own, "general", weights=b"2")
    shelf = Shelf(own)
    shelf.promote(science, by="Asha")
    shelf.start_canary(general, 0.99, by="Asha")
    assert all(shelf.current("science", conversation=str(number)) == science for number in range(20))


@pytest.mark.parametrize("content", ["{", '{"science": 7}', '{"science": {"id": "x"}}'])
def test_a_canary_that_cannot_be_read_answers_nobody(own: Path, content: str) -> None:
    used = make(own)
    shelf = Shelf(own)
    shelf.promote(used, by="Asha")
    (own / "canary.json").write_text(content)
    assert shelf.current("science", conversation="1") == used


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 10.0])
def test_a_share_lies_between_nobody_and_everybody(own: Path, share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Shelf(own).start_canary(make(own), share, by="Asha")


def test_what_is_in_use_tried_or_shipped_cannot_be_removed(own: Path, shipped: Path) -> None:
    theirs, used = make(shipped, weights=b"0"), make(own, weights=b"1")
    tried, idle = make(own, weights=b"2"), make(own, weights=b"3")
    shelf = Shelf(own, shipped)
    shelf.promote(used, by="Asha")
    shelf.start_canary(tried, 0.1, by="Asha")
    for card, why in ((theirs, "shipped"), (used, "in use"), (tried, "canary")):
        with pytest.raises(AdapterRefused, match=why):
            shelf.remove(card.id)
    shelf.remove(idle.id, by="Asha")
    assert idle not in shelf.list()
    assert not list(own.glob(f"*{idle.id}*"))
    assert deeds(shelf)[-1] == ("removed", idle.id, "Asha")


def test_the_way_back_passes_over_what_was_removed(own: Path) -> None:
    first, second, third = (make(own, weights=weights) for weights in (b"1", b"2", b"3"))
    shelf = Shelf(own)
    for card in (first, second, third):
        shelf.promote(card, by="Asha")
    shelf.remove(second.id)
    assert shelf.rollback("science") == first


def test_what_is_measured_of_a_shipped_adapter_goes_to_the_operators_root(own: Path, shipped: Path) -> None:
    theirs, ours = make(shipped, weights=b"0"), make(own, weights=b"1")
    shelf = Shelf(own, shipped)
    assert shelf.measured(ours.id) == own / ours.id
    assert shelf.measured(theirs.id).is_relative_to(own)
    shelf.measured(theirs.id).mkdir(parents=True)
    assert theirs in shelf.list()


def test_an_answer_under_way_is_finished_by_the_adapter_that_began_it(
    base: Path, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    first, second = make_adapter(shelf, seed=1), make_adapter(shelf, seed=2)
    engine = Engine(base, shelf, threads=1, dtype="float32", device="cpu")
    messages = [Message(role="user", content="What is the water cycle?")]
    decoding = Decoding(temperature=0, max_new_tokens=12)

    def alone(adapter: str) -> str:
        return engine.generate(messages, decoding=decoding, on_text=lambda _: True, adapter=adapter).text

    expected = [alone(card.id) for card in (first, second)]
    assert expected[0] != expected[1]
    shelf.promote(first, by="Asha")

    def promote_another(_: str) -> bool:
        Shelf(*shelf.roots).promote(second, by="Asha")  # another process, in the middle of the answer
        return True

    begun = engine.generate(messages, decoding=decoding, on_text=promote_another)
    assert (begun.adapter, begun.text) == (first.id, expected[0])
    after = engine.generate(messages, decoding=decoding, on_text=lambda _: True)
    assert (after.adapter, after.text) == (second.id, expected[1])


def test_the_engine_lets_a_canary_answer_its_conversations(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    used, tried = make_adapter(shelf, seed=1), make_adapter(shelf, seed=2)
    shelf.promote(used, by="Asha")
    shelf.start_canary(tried, 0.5, by="Asha")
    engine = Engine(base, shelf, threads=1, dtype="float32", device="cpu")
    messages, decoding = [Message(role="user", content="Hello")], Decoding(temperature=0, max_new_tokens=1)
    canary = shelf.canaries()["general"]
    for name in ("1", "2", "3", "4", "5", "6"):
        made = engine.generate(messages, decoding=decoding, on_text=lambda _: True, conversation=name)
        assert made.adapter == (tried.id if canary.takes(name) else used.id)
