"""What Prometheus may read: counts and durations, never anything a student wrote. One registry an application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """The service's counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "sahpathi_messages_received",
            "Messages stored in the inbox",
            ["channel", "duplicate"],
            registry=self.registry,
        )
        self.unknown = Counter(
            "sahpathi_webhooks_unknown",
            "Verified webhooks of an unknown kind",
            ["channel", "kind"],
            registry=self.registry,
        )
        self.states = Gauge(
            "sahpathi_rows", "Inbox messages, outbox parts and incidents by state", ["state"], registry=self.registry
        )

        self.model = Gauge(
            "sahpathi_model_requests", "Answers being written, and questions waiting for one", ["state"],
            registry=self.registry,
        )  # fmt: skip
        self.recalled = Gauge(
            "sahpathi_answer_cache", "Questions looked up among recent answers since the start", ["found"],
            registry=self.registry,
        )  # fmt: skip

    def render(self, counts: dict[str, int]) -> bytes:
        """The exposition text, with the database's present counts."""
        for state, count in counts.items():
            self.states.labels(state).set(count)
        return generate_latest(self.registry)
