"""A folder that `ollama create` takes: the GGUF file beside a Modelfile with our prompt's format and our decoding.

The Modelfile: https://docs.ollama.com/modelfile. A value in three quotes is taken as it stands, line breaks included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference.generation import Decoding, Message
from inference.prompt import END, START, STOP_MARKERS, SYSTEM
from training.errors import ExportError

# In the language of Go's text/template. Each turn as in inference.prompt.CHAT_TEMPLATE, then the tutor's turn opened.
TEMPLATE = f"{{{{ range .Messages }}}}{START}{{{{ .Role }}}}\n{{{{ .Content }}}}{END}\n{{{{ end }}}}{START}assistant\n"


def modelfile(gguf: str, licence: str, decoding: Decoding, context: int) -> str:
    """The Modelfile for the GGUF file of that name in the same folder. `context` is in tokens, prompt and answer."""
    parameters: list[tuple[str, object]] = [
        ("num_ctx", context),
        ("num_predict", decoding.max_new_tokens),
        ("temperature", decoding.temperature),
        ("top_k", decoding.top_k),
        ("top_p", decoding.top_p),
        # Ollama's penalty counts the prompt's words too and would keep the model from using those of the book.
        ("repeat_penalty", 1.0),
        *(("stop", f'"""{marker}"""') for marker in STOP_MARKERS),
    ]
    lines = [
        f"FROM ./{gguf}",
        f'TEMPLATE """{TEMPLATE}"""',
        f'SYSTEM """{SYSTEM}"""',
        *(f"PARAMETER {name} {value}" for name, value in parameters),
        *([f'LICENSE """{licence}"""'] if licence else []),
    ]
    return "\n".join(lines) + "\n"


def rendered(messages: Sequence[Message]) -> str:
    """What TEMPLATE makes of the messages."""
    turns = [f"{START}{message['role']}\n{message['content']}{END}\n" for message in messages]
    return "".join(turns) + f"{START}assistant\n"


def refuse_other_format(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> None:
    """Raise ExportError unless the model's own chat template gives what TEMPLATE gives."""
    for messages in prompts:
        own = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        if own != rendered(messages):
            raise ExportError(
                "the base model's chat template is not the ChatML of inference/prompt.py, so no Modelfile is written; "
                "`sahpathi export gguf` writes a file that carries its template"
            )
