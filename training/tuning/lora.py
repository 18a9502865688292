"""A base model with a LoRA adapter in training: the part of fine-tuning that needs torch and PEFT."""

from __future__ import annotations

import importlib.util
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import disable_progress_bars
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils.logging import disable_progress_bar

from inference.generation import Message
from training.errors import TrainingError
from training.pairs.conversations import fit
from training.pairs.template import IGNORED, Encoded, Template

if TYPE_CHECKING:
    from training.tuning.sft_arguments import SftArguments

_MEASURED_TOKENS = 4096  # read at once where the loss is only measured
_ANSWER = 64  # tokens of a sample answer at most

Weights = Mapping[str, torch.Tensor]


class Trainee:
    """The base model, frozen, with fresh LoRA matrices on every linear layer of attention and MLP.

    The matrices are in float32; the base is in `precision`. The same for the same arguments. Raises TrainingError.
    """

    def __init__(self, args: SftArguments) -> None:
        if args.threads:
            torch.set_num_threads(args.threads)
        disable_progress_bar()
        disable_progress_bars()
        self.device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        half = args.precision == "bfloat16" or (args.precision == "auto" and has_bfloat16(self.device))
        self.precision = "bfloat16" if half else "float32"
        self.attention = "flash_attention_2" if args.attention == "flash" else "sdpa"
        self._require(args)
        self.template = Template(args.base, answer_only=args.answer_only)
        self.tokenizer = self.template.tokenizer
        base = self._load(args)
        self.context = int(base.config.get_text_config().max_position_embeddings)
        self.length = min(args.length or self.context, self.context)
        torch.manual_seed(args.seed)
        with _quiet():
            self.model: Any = get_peft_model(base, _config(args, base))
        if not args.quantised:
            self.model.to(self.device)
        if self.precision == "bfloat16":
            _cast_once(self.model)
        self._keeps_logits = "logits_to_keep" in inspect.signature(base.forward).parameters

    def encode(self, conversation: Sequence[Message]) -> Encoded:
        """Token ids and labels, with as many passages as fit into `length`. Raises TrainingError."""
        fitted = fit(conversation, lambda turns: len(self.template.encode(turns).ids), self.length)
        return self.template.encode(fitted)

    def summed_loss(self, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
        """The loss summed over the learned tokens of a batch, and their number.

        `inputs` as a collator makes them: input_ids and labels of shape (batch, length), and what else the model takes.
        Only where some row has a token to learn are the logits computed: a fifth of a grounded conversation.
        """
        given = {name: value for name, value in inputs.items() if name != "labels"}
        wanted = inputs["labels"][:, 1:]
        kept = (wanted != IGNORED).any(dim=0).nonzero().squeeze(1)
        wanted = wanted[:, kept]
        if self._keeps_logits:
            logits = self.model(**given, use_cache=False, logits_to_keep=kept).logits
        else:
            logits = self.model(**given, use_cache=False).logits[:, kept]
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return loss, int((wanted != IGNORED).sum())

    def loss(self, conversations: Sequence[Sequence[Message]]) -> float:
        """Mean loss in nats over all learned tokens, with the adapter as it stands."""
        return self.loss_of([self.encode(conversation) for conversation in conversations])

    @torch.no_grad()
    def loss_of(self, encoded: Sequence[Encoded]) -> float:
        """As `loss`, of conversations that are token ids already."""
        total, count = 0.0, 0
        with self._evaluating():
            for batch in _batches(encoded):
                summed, learned = self.summed_loss(self._padded(batch))
                total += float(summed)
                count += learned
        return total / max(count, 1)

    @torch.no_grad()
    def answer(self, asked: Sequence[Message]) -> str:
        """What the model writes, word by word the likeliest, to these messages. At most 64 tokens."""
        ids = torch.tensor([self.template.prompt(asked)[-(self.context - _ANSWER) :]], device=self.device)
        with self._evaluating():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=_ANSWER,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        return self.template.decode(written[0, ids.shape[1] :].tolist())

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of what is trained, in the processor's memory."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self._trained()}

    def restore(self, weights: Weights) -> None:
        """Put back what `weights` gave."""
        with torch.no_grad():
            for name, value in self._trained():
                value.copy_(weights[name])

    def save(self, folder: Path) -> None:
        """Write the adapter as safetensors, and the template of a base that has none of its own."""
        self.model.save_pretrained(str(folder), safe_serialization=True)
        if self.template.stored is not None:
            (folder / "chat_template.jinja").write_text(self.template.stored, encoding="utf-8")

    def _trained(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, value) for name, value in self.model.named_parameters() if value.requires_grad)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Without dropout, and in the precision of training."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
                yield
        finally:
            self.model.train(training)

    def _padded(self, batch: Sequence[Encoded]) -> dict[str, Any]:
        longest = max(len(one.ids) for one in batch)
        gaps = [longest - len(one.ids) for one in batch]
        rows = list(zip(batch, gaps, strict=True))
        padding = self.tokenizer.pad_token_id
        made = {
            "input_ids": [one.ids + [padding] * gap for one, gap in rows],
            "labels": [one.labels + [IGNORED] * gap for one, gap in rows],
            "attention_mask": [[1] * len(one.ids) + [0] * gap for one, gap in rows],
        }
        return {name: torch.tensor(values, device=self.device) for name, values in made.items()}

    def _load(self, args: SftArguments) -> Any:
        dtype = getattr(torch, self.precision)
        how: dict[str, Any] = {"dtype": dtype, "attn_implementation": self.attention, "local_files_only": True}
        if args.quantised:
            how["device_map"] = {"": 0}
            how["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            )
        try:
            base = AutoModelForCausalLM.from_pretrained(args.base, **how)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{args.base}: no base model there ({error}); make it with `sahpathi train`") from error
        if args.quantised:
            base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=args.gradient_checkpointing)
        return base

    def _require(self, args: SftArguments) -> None:
        """Raise TrainingError for what this machine cannot do."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise TrainingError("device is cuda, but torch finds no NVIDIA GPU here; set device to cpu or auto")
        if args.quantised and self.device != "cuda":
            raise TrainingError("quantised (4 bits) needs an NVIDIA GPU; on a processor set quantised to false")
        if args.quantised and importlib.util.find_spec("bitsandbytes") is None:
            raise TrainingError("quantised (4 bits) needs a package: pip install bitsandbytes")
        if args.attention == "flash" and (self.device != "cuda" or self.precision != "bfloat16"):
            raise TrainingError("attention flash needs an NVIDIA GPU and bfloat16; set attention to sdpa")
        if args.attention == "flash" and importlib.util.find_spec("flash_attn") is None:
            raise TrainingError("attention flash needs a package: pip install flash-attn; or set attention to sdpa")
        if args.report_to and importlib.util.find_spec(args.report_to) is None:
            raise TrainingError(f"report_to {args.report_to} needs a package: pip install {args.report_to}")


def _config(args: SftArguments, base: Any) -> LoraConfig:
    return LoraConfig(
        r=args.rank,
        lora_alpha=args.alpha,
        lora_dropout=args.dropout,
        use_rslora=args.rslora,
        use_dora=args.dora,
        exclude_modules=_without_magnitude(base) if args.dora else None,
        target_modules=linear_layers(base),
        task_type="CAUSAL_LM",
    )


def _without_magnitude(base: Any) -> str | None:
    """A pattern of the layers DoRA must pass over: it divides by the norm of each output's weights, here zero for some.

    The shipped base model has three, in its first layer: the circuit it began with leaves outputs unused.
    """
    zero = [
        re.escape(name)
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and not bool(module.weight.any(dim=1).all())
    ]
    return "|".join(zero) or None


def _cast_once(model: Any) -> None:
    """Leave the cast of a LoRA layer's input to autocast, which has it in bfloat16 already.

    PEFT would cast it to the matrices' float32, and autocast back: two copies of everything a layer reads.
    """
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)  # PEFT's own use
        yield


def _batches(encoded: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """By length, as many at once as make 4,096 tokens."""
    batch: list[Encoded] = []
    for one in sorted(encoded, key=lambda one: len(one.ids)):
        if batch and len(one.ids) * (len(batch) + 1) > _MEASURED_TOKENS:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is fast on this device: processors without the instructions emulate it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def linear_layers(model: Any) -> list[str]:
    """The names of the linear layers of attention and MLP, whatever the architecture calls them."""
    found = {name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module)}
    layers = sorted(found - {"lm_head", "embed_out", "score"})
    if not layers:
        raise TrainingError(f"{type(model).__name__} has no linear layers to put an adapter on")
    return layers


def _is_linear(module: Any) -> bool:
    # GPT-2 and its like multiply by a transposed matrix, in a class of that name; 4-bit layers derive from Linear.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
