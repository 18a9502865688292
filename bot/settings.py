"""The only place that reads the environment. Prefix SAHPATHI_, nested sections by "__", `.env` in the working folder.

A secret may come from a file instead: SAHPATHI_TELEGRAM__TOKEN_FILE=/run/secrets/token stands for
SAHPATHI_TELEGRAM__TOKEN.
Every setting is described in docs/settings.md; a test fails when one is missing there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.alarm.contacts import FORMS, MAIL, TELEGRAM, Contact, contacts
from bot.errors import SettingsError
from rag.ingest import CODE

PREFIX = "SAHPATHI_"
PROJECT = Path(__file__).resolve().parent.parent


class TelegramSettings(BaseModel):
    """A bot token from @BotFather is all it takes; without a public URL the bot polls."""

    token: SecretStr | None = Field(None, description="Bot token from @BotFather. Empty: Telegram is off.")
    secret: SecretStr | None = Field(
        None,
        description="Webhook secret token, 1 to 256 of A-Z a-z 0-9 _ -. Empty: derived from SAHPATHI_SECRET.",
    )
    api_base: str = Field("https://api.telegram.org", description="Address of the Bot API; a local server in tests.")

    @field_validator("secret")
    @classmethod
    def _allowed(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None or not secret.get_secret_value():
            return None
        text = secret.get_secret_value()
        if len(text) > 256 or not all(c.isascii() and (c.isalnum() or c in "_-") for c in text):
            raise ValueError("must be 1 to 256 characters of A-Z, a-z, 0-9, _ and -")
        return secret


class TwilioSettings(BaseModel):
    """WhatsApp through Twilio. All three of account_sid, auth_token and from are needed together."""

    account_sid: str | None = Field(None, description="Account SID, starts with AC. Empty: WhatsApp is off.")
    auth_token: SecretStr | None = Field(None, description="Auth token: signs webhooks and sends messages.")
    from_: str | None = Field(
        None, alias="from", description="Sender, such as whatsapp:+14155238886 (the sandbox's number)."
    )
    api_base: str = Field("https://api.twilio.com", description="Address of the REST API; a local server in tests.")
    catch_up_seconds: float = Field(
        120.0, ge=1.0, description="How often Twilio is asked for messages that it could not bring us."
    )
    template_sid: str | None = Field(
        None,
        description="Content SID of an approved template without variables, which asks a student to write again when "
        "an answer comes after WhatsApp's 24 hours. Empty: the answer waits without it.",
    )

    @field_validator("template_sid")
    @classmethod
    def _content_sid(cls, sid: str | None) -> str | None:
        if sid and not re.fullmatch("HX[0-9a-fA-F]{32}", sid):
            raise ValueError("must be a content SID: HX and 32 digits of 0-9 a-f")
        return sid or None

    @model_validator(mode="after")
    def _all_or_none(self) -> TwilioSettings:
        given = (self.account_sid, self.auth_token, self.from_)
        if any(given) and not all(given):
            raise ValueError("account_sid, auth_token and from belong together: set all three or none")
        if self.from_ and not self.from_.startswith("whatsapp:+"):
            raise ValueError("from must look like whatsapp:+14155238886")
        return self


class CloudSettings(BaseModel):
    """WhatsApp through Meta's own Cloud API. All four are needed together."""

    phone_number_id: str | None = Field(None, description="Phone number id, from the app's page. Empty: off.")
    access_token: SecretStr | None = Field(None, description="A system user's token, which does not expire.")
    app_secret: SecretStr | None = Field(None, description="App secret: signs what Meta sends us.")
    verify_token: SecretStr | None = Field(
        None, description="A word of your own, typed into Meta's webhook form too: shows that the address is ours."
    )
    api_base: str = Field("https://graph.facebook.com", description="Address of the API; a local server in tests.")
    template: str | None = Field(
        None,
        description="Name of an approved template without parameters, which asks a student to write again when an "
        "answer comes after WhatsApp's 24 hours. Empty: the answer waits without it.",
    )
    template_language: str = Field(
        "en", pattern="^[a-z]{2,3}(_[A-Z]{2})?$", description="The template's language code, such as en, en_US or hi."
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> CloudSettings:
        given = (self.phone_number_id, self.access_token, self.app_secret, self.verify_token)
        if any(given) and not all(given):
            raise ValueError(
                "phone_number_id, access_token, app_secret and verify_token belong together: set all or none"
            )
        return self


class ModelSettings(BaseModel):
    """Which weights answer, and on how many threads."""

    base: str = Field(str(PROJECT / "data" / "models" / "base"), description="Folder of the base model, or a hub name.")
    gguf: Path | None = Field(
        None, description="A file of `sahpathi export gguf`, which llama.cpp serves instead. Empty: our own engine."
    )
    threads: int = Field(2, ge=1, le=256, description="Processor threads for generation.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of the weights; auto times both at start-up and takes the faster."
    )
    timeout: float = Field(60.0, gt=0, description="Seconds one generation may take before the book is quoted instead.")
    enabled: bool = Field(True, description="false: never generate, always quote the book.")
    says: float = Field(
        0.8,
        ge=0.0,
        le=1.0,
        description="Share of the words of the book's own best sentences that an answer must have to be shown instead. "
        "Below 0.8 the shipped model leaves out what matters; a large one says the same in fewer words: 0.4.",
    )
    slots: int = Field(16, ge=1, le=256, description="Answers written side by side; fewer where memory is short.")
    waiting: int = Field(
        64, ge=1, le=10_000, description="Questions that may wait for the model; with more the book is quoted at once."
    )
    patience: float = Field(
        60.0, gt=0, description="Seconds a question may wait for its turn before the book is quoted instead."
    )


class DecodingSettings(BaseModel):
    """How the next token is chosen; logged with each answer."""

    temperature: float = Field(0.7, ge=0.0, le=2.0, description="0 is greedy; higher is more varied.")
    top_k: int = Field(50, ge=0, description="Choose among the k likeliest tokens; 0 means all.")
    top_p: float = Field(0.9, gt=0.0, le=1.0, description="Choose within this share of probability.")
    repetition_penalty: float = Field(1.2, ge=1.0, le=2.0, description="Above 1 discourages repeating oneself.")
    no_repeat_ngram: int = Field(3, ge=0, description="No sequence of this many tokens twice in an answer; 0 is off.")
    max_new_tokens: int = Field(200, ge=1, le=2000, description="Longest answer, in tokens.")


class RetrievalSettings(BaseModel):
    """How passages are found."""

    embedding_model: str = Field(
        "all-MiniLM-L6-v2", description="The packaged model, or any sentence-transformers model by name or folder."
    )
    reranker: str = Field(
        "", description="A cross-encoder by name or folder, which orders what was found. Empty: none, which is faster."
    )
    board: str = Field(
        "national",
        pattern=f"^(?:{CODE.pattern})$",
        description="The board whose books come first: national, or a state such as kerala.",
    )
    passages: int = Field(3, ge=1, le=10, description="Passages shown to the model.")


class LimitSettings(BaseModel):
    """What one sender may do."""

    ask: str = Field("20/minute", description="Questions in one conversation, in the form 20/minute.")
    address: str = Field(
        "300/minute", description="Questions from one network address: a whole class may sit behind one."
    )
    question_characters: int = Field(2000, ge=100, le=20000, description="Longest question that is read.")

    @field_validator("ask", "address")
    @classmethod
    def _readable(cls, rate: str) -> str:
        from limits import parse

        try:
            parse(rate)
        except ValueError:
            raise ValueError("write a rate such as 20/minute or 200/hour") from None
        return rate


class HelplineSettings(BaseModel):
    """Numbers given to a student in distress. The defaults are India's."""

    mental_health: str = Field("14416", description="Mental-health helpline (Tele-MANAS).")
    child: str = Field("1098", description="Child helpline (Childline).")
    emergency: str = Field("112", description="Emergency number.")


class SafetySettings(BaseModel):
    """What screens questions and answers, and who is told of a child in distress."""

    classifier: Path | None = Field(
        None, description="Folder of the classifier. Empty: the one promoted here, or the shipped one."
    )
    guard_url: HttpUrl | None = Field(
        None, description="An OpenAI-compatible server with a guard model, http://host:8000. Empty: none is asked."
    )
    guard_model: str = Field("llama-guard", description="The guard model's name on that server.")
    guard_key: SecretStr | None = Field(None, description="What that server wants as a key.")
    guard_seconds: float = Field(1.5, gt=0, description="How long the guard may take; late, it is passed over.")
    adults: Annotated[tuple[Contact, ...], NoDecode] = Field(
        (),
        description="Whom to tell of a child in distress, in order, such as mailto:asha@school.example, "
        "telegram:123456789 (a chat that has written to the bot). Empty: nobody is told.",
    )
    escalate_after_seconds: float = Field(
        600.0, ge=1.0, description="How long an adult has to say that they look after it before the next one is told."
    )

    @field_validator("adults", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return contacts(given) if isinstance(given, str) else given


class SmtpSettings(BaseModel):
    """The mail server that takes alerts to adults. host and sender belong together, and user and password."""

    host: str | None = Field(None, description="Name of the mail server. Empty: no e-mail.")
    port: int = Field(587, ge=1, le=65535, description="Its port for submission.")
    user: str | None = Field(None, description="The name to sign in with. Empty: none is asked for.")
    password: SecretStr | None = Field(None, description="The password to it.")
    sender: str | None = Field(None, description="The address alerts come from, such as tutor@school.example.")
    starttls: bool = Field(True, description="Whether to encrypt by STARTTLS; false only for a server next door.")

    @field_validator("sender")
    @classmethod
    def _is_address(cls, sender: str | None) -> str | None:
        if sender and not FORMS[MAIL].fullmatch(sender):
            raise ValueError("write an address such as tutor@school.example")
        return sender or None

    @model_validator(mode="after")
    def _together(self) -> SmtpSettings:
        if bool(self.host) != bool(self.sender):
            raise ValueError("host and sender belong together: set both or none")
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password belong together: set both or none")
        return self


class WorkerSettings(BaseModel):
    """How messages are taken, retried and given up."""

    concurrency: int = Field(8, ge=1, le=256, description="Conversations answered at a time by one process.")
    lease_seconds: float = Field(
        30.0, ge=1.0, description="A conversation whose worker is silent this long is free again."
    )
    sweep_seconds: float = Field(5.0, ge=0.2, description="How often forgotten messages are looked for.")
    attempts: int = Field(5, ge=1, le=50, description="Tries before a message is buried and shown to staff.")
    backoff_seconds: float = Field(
        2.0, gt=0, description="First wait between tries; doubles, with jitter, up to 5 minutes."
    )


class Settings(BaseSettings):
    """Everything that can be configured. `Settings.load()` turns a mistake into one clear SettingsError."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
    )

    home: Path = Field(Path("var"), description="Where all state lives: database, index, trained adapters, secrets.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    public_url: HttpUrl | None = Field(
        None, description="Where providers reach us, https://tutor.school.in. Empty: Telegram polls, WhatsApp is off."
    )
    database_url: str | None = Field(None, description="SQLAlchemy URL. Empty: SQLite in the home folder.")
    redis_url: SecretStr | None = Field(None, description="redis://host:6379/0. Empty: the queue is in memory.")
    chroma_url: HttpUrl | None = Field(None, description="A Chroma server, http://host:8000. Empty: embedded.")
    generator_url: HttpUrl | None = Field(
        None,
        description="An OpenAI-compatible server that writes the answers, http://host:8000. Empty: this machine does.",
    )
    generator_key: SecretStr | None = Field(
        None, description="What that server wants as a key, and what `sahpathi inference` asks for."
    )
    generator_model: str = Field(
        "", description="The model on that server where no adapter applies. Empty: the first one that it lists."
    )
    generator_models: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="Models on that server by adapter or subject, such as science=tutor-science, maths=tutor-maths.",
    )
    generator_adapters: str = Field(
        "",
        description="Folder of our adapters as that server sees it; vLLM is then told to load them. Empty: it is not.",
    )
    textbooks: Path = Field(PROJECT / "data" / "textbooks", description="Folder of Markdown textbooks.")
    adapters: Path = Field(PROJECT / "data" / "adapters", description="Folder of the shipped adapters.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")

    secret: SecretStr | None = Field(
        None, description="Signs sign-in cookies and webhook secrets. Empty: made once and kept in the home folder."
    )

    telegram: TelegramSettings = TelegramSettings()
    twilio: TwilioSettings = TwilioSettings()
    cloud: CloudSettings = CloudSettings()
    model: ModelSettings = ModelSettings()
    decoding: DecodingSettings = DecodingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    limits: LimitSettings = LimitSettings()
    helplines: HelplineSettings = HelplineSettings()
    safety: SafetySettings = SafetySettings()
    smtp: SmtpSettings = SmtpSettings()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("generator_models", mode="before")
    @classmethod
    def _paired(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
        if not all(name.strip() and model.strip() for name, _, model in pairs):
            raise ValueError("write pairs such as science=tutor-science, with commas between them")
        return {name.strip(): model.strip() for name, _, model in pairs}

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Read the environment. Raises SettingsError naming each wrong setting and what is wrong with it."""
        try:
            return cls(**(_secrets_from_files(os.environ) | given))
        except ValidationError as error:
            lines = [
                f"  {_variable(item['loc'])}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
            ]
            raise SettingsError("These settings cannot be used:\n" + "\n".join(lines)) from None
        except OSError as error:
            raise SettingsError(f"Cannot read the settings: {error}") from None

    @property
    def sql_url(self) -> str:
        """The database address with an async driver."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite+aiosqlite:///{(self.home / 'sahpathi.db').resolve()}"

    @property
    def out_of_reach(self) -> str:
        """What is missing to tell every adult of a child in distress, as a sentence; "" when nothing is."""
        kinds = {adult.kind for adult in self.safety.adults}
        if MAIL in kinds and self.smtp.host is None:
            return f"{PREFIX}SAFETY__ADULTS names an e-mail address: set {PREFIX}SMTP__HOST and {PREFIX}SMTP__SENDER."
        if TELEGRAM in kinds and not (self.telegram.token and self.telegram.token.get_secret_value()):
            return f"{PREFIX}SAFETY__ADULTS names a Telegram chat: set {PREFIX}TELEGRAM__TOKEN."
        return ""

    def public(self, path: str) -> str:
        """The public address of `path`. Raises SettingsError where none is configured."""
        if self.public_url is None:
            raise SettingsError("Set SAHPATHI_PUBLIC_URL to the https address at which providers reach this server.")
        return str(self.public_url).rstrip("/") + path


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part).rstrip("_").upper() for part in location)


def _secrets_from_files(environment: Mapping[str, str]) -> dict[str, Any]:
    """Values for every SAHPATHI_..._FILE variable, nested as Settings expects them."""
    given: dict[str, Any] = {}
    for name, path in environment.items():
        if not (name.startswith(PREFIX) and name.endswith("_FILE")):
            continue
        *sections, leaf = name.removeprefix(PREFIX).removesuffix("_FILE").lower().split("__")
        target = given
        for section in sections:
            target = target.setdefault(section, {})
        target[leaf] = Path(path).read_text(encoding="utf-8").strip()
    return given
