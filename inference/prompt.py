"""The one place a prompt is built. Training and serving both call `grounded`, so they cannot drift apart.

The format is ChatML (`<|im_start|>role ... <|im_end|>`), written as a Jinja chat template whose `{% generation %}`
block marks the assistant's words, so that training can put the loss on them alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.generation import Message

SYSTEM = (
    "You are Sahpathi, a kind tutor for school students. Answer from the passages in two to five short sentences. "
    "If the passages do not hold the answer, say so."
)

END_OF_TEXT = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, START, END)

# What ends an answer even when a model fails to write its end-of-turn token.
STOP_MARKERS = (END, START, END_OF_TEXT, "\nQuestion:", "\nPassages:", "\n### Question:")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>' + '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# For a base model that was never taught a chat format.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### Question:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ '### Answer:\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Answer:\n' }}{% endif %}"
)


_QUESTION = "\n\nQuestion: "


def grounded(question: str, passages: Sequence[str], history: Sequence[Message] = ()) -> list[Message]:
    """The messages for one question: system line, earlier turns, then numbered passages and the question.

    `passages` come best first. Special tokens inside them, in the question or in an earlier turn are defused, so that
    no textbook and no student can end a turn or open another.
    """
    earlier = [Message(role=turn["role"], content=_defuse(turn["content"])) for turn in history]
    numbered = "\n".join(f"[{n}] {_defuse(text)}" for n, text in enumerate(passages, start=1))
    asked = _defuse(question)
    content = f"Passages:\n{numbered}{_QUESTION}{asked}" if passages else f"Question: {asked}"
    return [Message(role="system", content=SYSTEM), *earlier, Message(role="user", content=content)]


def shortened(messages: Sequence[Message]) -> list[Message] | None:
    """The same messages made one step shorter, or None when nothing more may go: what to do when they do not fit.

    The last passage goes first, as long as another is left; then the oldest earlier question with its answer. The
    system line, the best passage and the question itself always stay, whole.
    """
    *before, last = messages
    block, question, asked = last["content"].partition(_QUESTION)
    passages = block.split("\n")  # the line "Passages:", then a line a passage: _defuse leaves no line break inside
    if question and passages[0] == "Passages:" and len(passages) > 2:
        content = "\n".join(passages[:-1]) + question + asked
        return [*before, Message(role=last["role"], content=content)]
    system = [message for message in before if message["role"] == "system"]
    earlier = [message for message in before if message["role"] != "system"]
    return [*system, *earlier[2:], last] if earlier else None


def _defuse(text: str) -> str:
    for token in SPECIAL_TOKENS:
        text = text.replace(token, " ")
    return " ".join(text.split())


def without_system(messages: Sequence[Message]) -> list[Message]:
    """For templates that know no system role (Gemma 2): its words open the first question instead."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    turns = [message for message in messages if message["role"] != "system"]
    first = Message(role=turns[0]["role"], content=f"{system}\n\n{turns[0]['content']}") if system else turns[0]
    return [first, *turns[1:]]
