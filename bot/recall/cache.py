"""What was answered before is answered again at once: the same question, asked in the same setting.

Bounded, in the memory of one process, emptied by itself when an adapter is promoted or the books are indexed anew. It
holds questions as read and answers, and the numbers of the messages they answered, but nobody's name or conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from bot.ports import Answer, Decoding, Route
from rag.same import Known, Reader, Threshold

SIZE = 512  # answers, of about 4 kB
REMEMBERED = 50  # messages of one answer whose thumbs are looked at
REPEATABLE = (Route.GENERATED, Route.QUOTED)


@dataclass(frozen=True, slots=True)
class Setting:
    """What an answer depends on besides its question. `index` is the library's fingerprint."""

    language: str
    class_level: int | None
    subject: str | None
    decoding: Decoding
    index: str


@dataclass(slots=True)
class _Entry:
    setting: Setting
    answer: Answer
    topic: str | None  # the subject by which its adapter was chosen
    adapter: str
    messages: list[int]


@dataclass(slots=True)
class AnswerCache:
    """Answers by question and setting.

    `adapter` names what would write for a subject in a conversation now. `may_be_repeated` says whether nobody has
    spoken against the answers to these messages (`store.Verified`).
    """

    reader: Reader
    threshold: Threshold
    adapter: Callable[[str | None, str | None], str]
    may_be_repeated: Callable[[Sequence[int]], Awaitable[bool]]
    size: int = SIZE
    hits: int = 0
    misses: int = 0
    _known: dict[Setting, Known[int]] = field(default_factory=dict)
    _entries: OrderedDict[int, _Entry] = field(default_factory=OrderedDict)
    _numbers: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"an answer cache holds 1 answer or more, not {self.size}")

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, question: str, setting: Setting, *, conversation: str | None, message: int) -> Answer | None:
        """The answer to the same question in the same setting, if it may be given again; `message` will have it too."""
        self._forget_other_books(setting)
        known = self._known.get(setting)
        for number, _ in known.same(self.reader.read(question)) if known else ():
            entry = self._entries[number]
            if entry.adapter != self.adapter(entry.topic, conversation):
                continue  # another one was promoted since, or answers in this conversation
            if not await self.may_be_repeated(entry.messages):
                self._drop(number)
                continue
            if number in self._entries:  # it may have been pushed out while the database was asked
                self._entries.move_to_end(number)
                entry.messages = [*entry.messages[-REMEMBERED + 1 :], message]
            self.hits += 1
            return entry.answer
        self.misses += 1
        return None

    def put(
        self,
        question: str,
        setting: Setting,
        answer: Answer,
        *,
        topic: str | None,
        conversation: str | None,
        message: int,
    ) -> None:
        """Keep an answer that passed every check; what is unsure, or leans on an earlier question, is not kept.

        `topic` is the subject that the generator was given.
        """
        asked = self.reader.read(question)
        adapter = self.adapter(topic, conversation)
        if not asked.alone or answer.caution or answer.route not in REPEATABLE or answer.adapter not in (None, adapter):
            return
        self._forget_other_books(setting)
        known = self._known.setdefault(setting, Known(self.reader, self.threshold))
        number = next(self._numbers)
        self._entries[number] = _Entry(setting, replace(answer, timings={}), topic, adapter, [message])
        known.put(number, asked)
        while len(self._entries) > self.size:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self._known.clear()

    def _forget_other_books(self, setting: Setting) -> None:
        """Everything goes when the books were indexed anew."""
        if any(other.index != setting.index for other in self._known):
            self.clear()

    def _drop(self, number: int) -> None:
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        known = self._known[entry.setting]
        known.drop(number)
        if not len(known):
            del self._known[entry.setting]
