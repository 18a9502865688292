"""Settings: one clear error for each mistake, secrets from files, and nothing undocumented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from bot.alarm.contacts import Contact
from bot.errors import SettingsError
from bot.settings import PREFIX, PROJECT, Settings


def variables(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, str]]:
    """Every setting's environment variable and description."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield prefix + (info.alias or name).upper(), info.description or ""


def test_defaults_need_nothing() -> None:
    settings = Settings.load()
    assert settings.sql_url.startswith("sqlite+aiosqlite:///")
    assert settings.telegram.token is None
    assert settings.decoding.repetition_penalty == 1.2


@pytest.mark.parametrize("name", [name for name, _ in variables(Settings)])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, description in variables(Settings) if not description] == []


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("SAHPATHI_PORT", "eighty", "SAHPATHI_PORT"),
        ("SAHPATHI_PUBLIC_URL", "tutor.school.in", "SAHPATHI_PUBLIC_URL"),
        ("SAHPATHI_LIMITS__ASK", "often", "20/minute"),
        ("SAHPATHI_DECODING__TEMPERATURE", "9", "SAHPATHI_DECODING__TEMPERATURE"),
        ("SAHPATHI_TELEGRAM__SECRET", "no spaces allowed", "A-Z"),
        ("SAHPATHI_TWILIO__ACCOUNT_SID", "AC1", "all three"),
        ("SAHPATHI_LOG_LEVEL", "loud", "SAHPATHI_LOG_LEVEL"),
        ("SAHPATHI_SAFETY__ADULTS", "asha@school.example", "mailto:asha@school.example"),
        ("SAHPATHI_SAFETY__ADULTS", "mailto:a@school.example, telegram:@asha", "number 2"),
        ("SAHPATHI_SAFETY__ADULTS", "telegram:12, telegram:12", "once"),
        ("SAHPATHI_SAFETY__ESCALATE_AFTER_SECONDS", "0", "SAHPATHI_SAFETY__ESCALATE_AFTER_SECONDS"),
        ("SAHPATHI_GENERATOR_URL", "gpu-box", "SAHPATHI_GENERATOR_URL"),
        ("SAHPATHI_GENERATOR_MODELS", "science", "science=tutor-science"),
        ("SAHPATHI_SMTP__HOST", "mail.school.example", "host and sender"),
        ("SAHPATHI_SMTP__SENDER", "The tutor", "tutor@school.example"),
        ("SAHPATHI_SMTP__USER", "tutor", "user and password"),
    ],
)
def test_a_mistake_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, hint: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert hint in str(caught.value)
    assert variable.split("__")[0] in str(caught.value)


def test_adults_are_listed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().safety.adults == ()
    monkeypatch.setenv("SAHPATHI_SAFETY__ADULTS", "mailto:asha@school.example, telegram:-100123,")
    settings = Settings.load()
    assert settings.safety.adults == (Contact("mailto", "asha@school.example"), Contact("telegram", "-100123"))
    assert "SAHPATHI_SMTP__HOST" in settings.out_of_reach
    monkeypatch.setenv("SAHPATHI_SMTP__HOST", "mail.school.example")
    monkeypatch.setenv("SAHPATHI_SMTP__SENDER", "tutor@school.example")
    assert "SAHPATHI_TELEGRAM__TOKEN" in Settings.load().out_of_reach
    monkeypatch.setenv("SAHPATHI_TELEGRAM__TOKEN", "12:abc")
    assert Settings.load().out_of_reach == ""


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("12:abc\n", encoding="utf-8")
    monkeypatch.setenv("SAHPATHI_TELEGRAM__TOKEN_FILE", str(tmp_path / "token"))
    assert Settings.load().telegram.token == SecretStr("12:abc")


def test_a_missing_secret_file_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAHPATHI_TELEGRAM__TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match="absent"):
        Settings.load()


def test_a_file_may_give_one_part_of_a_section_and_the_environment_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    monkeypatch.setenv("SAHPATHI_TWILIO__ACCOUNT_SID", "AC1")
    monkeypatch.setenv("SAHPATHI_TWILIO__FROM", "whatsapp:+14155238886")
    monkeypatch.setenv("SAHPATHI_TWILIO__AUTH_TOKEN_FILE", str(tmp_path / "token"))
    twilio = Settings.load().twilio
    assert (twilio.account_sid, twilio.auth_token) == ("AC1", SecretStr("secret"))


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAHPATHI_TELEGRAM__TOKEN", "12345:very-secret")
    assert "very-secret" not in repr(Settings.load())
