"""What can go wrong while text is generated, at a glance. Every message says what to do about it.

InferenceError
├── ModelMissing      there is no base model where the settings say; the operator must train or name one
├── AdapterRefused    an adapter is incomplete, altered since it was made, or made for another base model
├── ModerationRefused what the safety classifier has learned is missing, malformed, or for another encoder
├── PromptTooLong     the question alone does not fit the model's context
├── EngineBusy        too many requests wait already, or this one has waited too long; ask again later
├── EngineDied        the model process ended while it was needed; the next request starts a new one
└── EngineTimeout     one generation took longer than it may and was given up, or the process did not start in time
"""

from __future__ import annotations

from typing import Self


class InferenceError(Exception):
    """The root of every exception this package raises on purpose."""


class ModelMissing(InferenceError):
    """There is no usable base model at the configured place."""

    @classmethod
    def at(cls, place: object, reason: str = "there is no model there") -> Self:
        return cls(
            f"{place}: {reason}. Make one with `sahpathi train pretrain`, or set SAHPATHI_MODEL__BASE to a folder "
            "that holds a model or to the name of one on the Hugging Face hub"
        )


class AdapterRefused(InferenceError):
    """An adapter that must not be served: files missing, altered since it was made, or made for another base model."""


class ModerationRefused(InferenceError):
    """A moderation model that cannot be used."""


class PromptTooLong(InferenceError):
    """The prompt exceeds the model's context even without its passages and earlier turns."""


class EngineBusy(InferenceError):
    """There was no room in the waiting line, or no turn in time. Nothing was generated; the same may be asked again."""

    @classmethod
    def full(cls, waiting: int) -> Self:
        return cls(
            f"the tutor is busy: {waiting} requests wait already. Ask again in a minute; if it happens often, give the "
            "model more threads or a machine of its own"
        )

    @classmethod
    def late(cls, patience: float) -> Self:
        return cls(
            f"the tutor is busy: no turn within {patience:g} s. Ask again in a minute; if it happens often, give the "
            "model more threads or a machine of its own"
        )


class EngineDied(InferenceError):
    """The model process ended before it had finished."""


class EngineTimeout(InferenceError):
    """One generation took longer than its deadline, or the model process did to start."""


BY_NAME: dict[str, type[InferenceError]] = {
    kind.__name__: kind for kind in (ModelMissing, AdapterRefused, PromptTooLong, EngineDied, EngineTimeout)
}
