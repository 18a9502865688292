"""A student's photo or voice note: fetched from Twilio and its media server, and from nobody else."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.channels.twilio_media import LARGEST, Media, TwilioMedia, on_cdn
from bot.channels.whatsapp import WhatsAppChannel
from bot.errors import PermanentError, TransientError
from tests.bot.channels.simulated import ASHA_PHONE
from tests.bot.simulator.driver import Driver, Webhooks, eventually
from tests.local_server import LocalServer

SID, TOKEN = "AC" + "7" * 32, "an-auth-token-of-this-test"
PATH = f"/2010-04-01/Accounts/{SID}/Messages/MM{'1' * 32}/Media/ME{'2' * 32}"
JPEG = b"\xff\xd8\xff\xe0 a photo"
PNG = b"\x89PNG\r\n\x1a\n a drawing"
WEBP = b"RIFF\x0c\x00\x00\x00WEBPVP8 a sticker"
OGG = b"OggS a voice note"

Answer = Callable[[Request], Response]


@dataclass(frozen=True)
class Call:
    """What a request showed: where it went, and with which credentials."""

    host: str
    path: str
    authorization: str | None


class Provider(LocalServer):
    """Twilio's API at 127.0.0.1 and its media server at localhost. `api` and `cdn` answer."""

    api: Answer
    cdn: Answer

    def reset(self) -> None:
        super().reset()
        self.calls: list[Call] = []
        self.api = lambda request: RedirectResponse(f"{self.media}/cdn/file")
        self.cdn = lambda request: Response(JPEG, media_type="image/jpeg")

    @property
    def media(self) -> str:
        return self.url.replace("127.0.0.1", "localhost")

    def routes(self) -> Iterable[Route]:
        yield Route("/cdn/{file:path}", self._on_cdn)
        yield Route("/{path:path}", self._at_api)

    async def _at_api(self, request: Request) -> Response:
        self._note(request)
        return self.api(request)

    async def _on_cdn(self, request: Request) -> Response:
        self._note(request)
        return self.cdn(request)

    def _note(self, request: Request) -> None:
        shown = request.headers
        self.calls.append(Call(shown["host"].partition(":")[0], request.url.path, shown.get("authorization")))


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


@pytest.fixture
def provider(running_provider: Provider) -> Provider:
    running_provider.reset()
    return running_provider


@pytest.fixture
async def media(provider: Provider) -> AsyncIterator[TwilioMedia]:
    made = media_of(provider)
    yield made
    await made.close()


def media_of(provider: Provider, **more: Any) -> TwilioMedia:
    given: dict[str, Any] = {"api_base": provider.url, "seconds": 10.0}
    return TwilioMedia(SID, TOKEN, **(given | more))


# ---- from the simulator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "content_type"),
    [
        ({"kind": "photo"}, "image/jpeg"),
        ({"kind": "voice"}, "audio/ogg"),
        ({"kind": "sticker"}, "image/webp"),
        ({"kind": "photo", "content": base64.b64encode(PNG).decode(), "content_type": "image/png"}, "image/png"),
    ],
)
async def test_what_a_student_sends_is_fetched(
    twilio_api: Driver, whatsapp: WhatsAppChannel, running_service: Webhooks, said: dict[str, str], content_type: str
) -> None:
    sid = (await asyncio.to_thread(lambda: twilio_api.say("twilio", ASHA_PHONE, **said)))["provider_id"]

    def forms() -> list[dict[str, str]]:
        return [call.form for call in running_service.deliveries if call.form.get("MessageSid") == sid]

    (form,) = await asyncio.to_thread(eventually, forms)
    found = await whatsapp.fetch(form["MediaUrl0"])
    assert found.content_type == content_type == form["MediaContentType0"]
    file = form["MediaUrl0"].rpartition("/ME")[2]
    assert found.content == twilio_api.client.get(f"/sim/files/{file}").content
    assert twilio_api.violations() == []


# ---- whom the credentials are shown to -------------------------------------------------------------------------------


async def test_only_the_api_is_shown_the_credentials(media: TwilioMedia, provider: Provider) -> None:
    assert await media.fetch(provider.url + PATH) == Media("image/jpeg", JPEG)
    api, cdn = provider.calls
    assert (api.host, api.path) == ("127.0.0.1", PATH)
    assert api.authorization == "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    assert cdn == Call("localhost", "/cdn/file", None)


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.twilio.com{PATH}",
        f"https://api.twilio.com:8443{PATH}",
        f"https://api.twilio.com.{PATH}",
        f"https://api.twilio.com.evil.example{PATH}",
        f"https://evil.example{PATH}",
        f"https://evil.example/https://api.twilio.com{PATH}",
        f"https://user:word@api.twilio.com{PATH}",
        f"https://api.twilio.com@evil.example{PATH}",
        f"https://api.twilio.com\\@evil.example{PATH}",
        f"https://api.twilio.com%2f@evil.example{PATH}",
        f"https://mms.twiliocdn.com{PATH}",
        f"https://3.225.94.14{PATH}",
        f"https://[2600::1]{PATH}",
        f"ftp://api.twilio.com{PATH}",
        f"//api.twilio.com{PATH}",
        PATH,
        "",
        "https://",
        "https://api.twilio.com",
        "https://api.twilio.com\x00/",
        "https://api.twilio.com:port/",
        f"https://api.twilio.com/2010-04-01/Accounts/{SID}.json",
        f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json",
        "https://api.twilio.com" + PATH.replace(SID, "AC" + "8" * 32),
        "https://api.twilio.com" + PATH.replace("Messages", "Recordings"),
        f"https://api.twilio.com{PATH}/../../../Messages.json",
        f"https://api.twilio.com{PATH}%2f..%2fMessages",
    ],
)
async def test_an_address_that_is_not_our_accounts_at_twilio_is_refused(media: TwilioMedia, url: str) -> None:
    """Twilio cannot be reached from a test: an address that passed would fail as one that may be found later."""
    with pytest.raises(PermanentError, match="file's address"):
        await media.fetch(url)


@pytest.mark.parametrize("change", [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "localhost"), ("http:", "https:"),
                                    ("//", "//user:word@")])  # fmt: skip
async def test_the_configured_api_is_meant_exactly(
    media: TwilioMedia, provider: Provider, change: tuple[str, str]
) -> None:
    with pytest.raises(PermanentError, match="file's address"):
        await media.fetch(provider.url.replace(*change) + PATH)
    with pytest.raises(PermanentError, match="file's address"):
        await media.fetch(provider.url[:-1] + PATH)  # another port
    assert provider.calls == []


# ---- where a redirect may lead ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://mms.twiliocdn.com/AC1/file?Signature=x", True),
        ("https://media.twiliocdn.com/file", True),
        ("https://MMS.TwilioCDN.com/file", True),
        ("https://mms.twiliocdn.com:443/file", True),
        ("https://s3-external-1.amazonaws.com/media.twiliocdn.com/AC1/file", True),
        ("http://mms.twiliocdn.com/file", False),
        ("https://mms.twiliocdn.com:8443/file", False),
        ("https://twiliocdn.com.evil.example/file", False),
        ("https://eviltwiliocdn.com/file", False),
        ("https://mms.twiliocdn.com./file", False),
        ("https://s3-external-1.amazonaws.com/another-bucket/media.twiliocdn.com/file", False),
        ("https://s3-external-1.amazonaws.com/media.twiliocdn.com.evil/file", False),
        ("https://media.twiliocdn.com.s3-external-1.amazonaws.com.evil.example/file", False),
        ("https://evil.s3-external-1.amazonaws.com/media.twiliocdn.com/file", False),
    ],
)
def test_which_servers_are_twilios(url: str, expected: bool) -> None:
    assert on_cdn(httpx.URL(url)) is expected


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/file",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/file",
        "http://localhost/file",
        "https://[::1]/file",
        "https://user:word@mms.twiliocdn.com/file",
        "https://mms.twiliocdn.com@evil.example/file",
        "https://mms.twiliocdn.com\\@evil.example/file",
        f"https://api.twilio.com{PATH}",
        "file:///etc/passwd",
        "//evil.example/file",
    ],
)
async def test_a_redirect_elsewhere_is_refused(media: TwilioMedia, provider: Provider, location: str) -> None:
    provider.api = lambda request: Response(status_code=302, headers={"Location": location})
    with pytest.raises(PermanentError, match="redirected to a server"):
        await media.fetch(provider.url + PATH)
    assert len(provider.calls) == 1


@pytest.mark.parametrize(("name", "expected"), [("localhost", PermanentError), ("media.invalid", TransientError)])
async def test_a_media_server_at_a_private_address_is_refused(
    provider: Provider, name: str, expected: type[Exception]
) -> None:
    provider.api = lambda request: RedirectResponse(f"https://{name}/file")
    media = media_of(provider, cdn=((name, "/"),))
    with pytest.raises(expected, match=r"private address|not found"):
        await media.fetch(provider.url + PATH)
    await media.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_kind_of_redirect_is_followed(media: TwilioMedia, provider: Provider, status: int) -> None:
    provider.api = lambda request: RedirectResponse(f"{provider.media}/cdn/file", status)
    assert (await media.fetch(provider.url + PATH)).content == JPEG


@pytest.mark.parametrize(("hops", "calls"), [(3, 4), (4, 4)])
async def test_three_redirects_are_followed_and_no_more(
    media: TwilioMedia, provider: Provider, hops: int, calls: int
) -> None:
    def further(request: Request) -> Response:
        hop = len(provider.calls)
        return RedirectResponse(f"/cdn/{hop}") if hop < hops + 1 else Response(JPEG, media_type="image/jpeg")

    provider.cdn = further
    if hops == 3:
        assert (await media.fetch(provider.url + PATH)).content == JPEG
    else:
        with pytest.raises(PermanentError, match="too often"):
            await media.fetch(provider.url + PATH)
    assert len(provider.calls) == calls
    assert {call.authorization for call in provider.calls[1:]} == {None}


# ---- what may be in it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("image/jpeg", JPEG),
        ("image/png", PNG),
        ("image/webp", WEBP),
        ("audio/ogg", OGG),
        ("AUDIO/OGG; codecs=opus", OGG),
    ],
)
async def test_what_is_read(media: TwilioMedia, provider: Provider, content_type: str, content: bytes) -> None:
    provider.cdn = lambda request: Response(content, headers={"content-type": content_type})
    expected = content_type.lower().partition(";")[0]
    assert await media.fetch(provider.url + PATH) == Media(expected, content)


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("text/html", b"<html>a school's proxy</html>"),
        ("video/mp4", JPEG),
        ("image/svg+xml", b"<svg/>"),
        ("application/octet-stream", JPEG),
        ("", JPEG),
        ("image/jpeg", PNG),
        ("image/png", JPEG),
        ("image/webp", b"RIFF\x0c\x00\x00\x00WAVE"),
        ("audio/ogg", b"RIFF" + OGG),
        ("image/jpeg", b"<script>"),
        ("image/jpeg", b"\xff\xd8"),
        ("image/jpeg", b""),
    ],
)
async def test_what_is_not_read(media: TwilioMedia, provider: Provider, content_type: str, content: bytes) -> None:
    headers = {"content-type": content_type} if content_type else {}
    provider.cdn = lambda request: Response(content, headers=headers)
    with pytest.raises(PermanentError, match=r"of a kind|not what it says"):
        await media.fetch(provider.url + PATH)


async def test_what_comes_compressed_is_refused(media: TwilioMedia, provider: Provider) -> None:
    provider.cdn = lambda request: Response(JPEG, media_type="image/jpeg", headers={"content-encoding": "gzip"})
    with pytest.raises(PermanentError, match="compressed"):
        await media.fetch(provider.url + PATH)


def photo(size: int) -> Iterator[bytes]:
    yield JPEG
    yield bytes(size - len(JPEG))


@pytest.mark.parametrize("announced", [True, False])
async def test_the_largest_file_is_read(media: TwilioMedia, provider: Provider, announced: bool) -> None:
    headers = {"content-length": str(LARGEST)} if announced else {}
    provider.cdn = lambda request: StreamingResponse(photo(LARGEST), media_type="image/jpeg", headers=headers)
    assert len((await media.fetch(provider.url + PATH)).content) == LARGEST


@pytest.mark.parametrize("announced", [True, False])
async def test_a_larger_file_is_refused(media: TwilioMedia, provider: Provider, announced: bool) -> None:
    headers = {"content-length": str(LARGEST + 1)} if announced else {}
    provider.cdn = lambda request: StreamingResponse(photo(LARGEST + 1), media_type="image/jpeg", headers=headers)
    with pytest.raises(PermanentError, match="larger"):
        await media.fetch(provider.url + PATH)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["api", "cdn"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, TransientError),
        (403, TransientError),
        (404, TransientError),
        (408, TransientError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
        (204, PermanentError),
        (302, PermanentError),
        (400, PermanentError),
        (410, PermanentError),
    ],
)
async def test_statuses_are_told_apart(
    media: TwilioMedia, provider: Provider, side: str, status: int, expected: type[PermanentError | TransientError]
) -> None:
    setattr(provider, side, lambda request: Response(status_code=status))
    with pytest.raises(expected) as raised:
        await media.fetch(provider.url + PATH)
    assert raised.value.code == str(status)


async def test_a_file_that_never_ends_is_given_up_for_now(provider: Provider) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield JPEG
        while not provider.closing.is_set():
            await asyncio.sleep(0.02)
            yield b"."

    provider.cdn = lambda request: StreamingResponse(dripping(), media_type="image/jpeg")
    media = media_of(provider, seconds=0.5)
    with pytest.raises(TransientError, match="longer than"):
        await media.fetch(provider.url + PATH)
    await media.close()


async def test_a_file_cut_short_may_come_whole_later(media: TwilioMedia, provider: Provider) -> None:
    provider.cdn = lambda request: StreamingResponse(
        iter([JPEG]), media_type="image/jpeg", headers={"content-length": str(len(JPEG) + 100)}
    )
    with pytest.raises(TransientError, match="did not come through"):
        await media.fetch(provider.url + PATH)


async def test_nobody_there_may_be_there_later() -> None:
    media = TwilioMedia(SID, TOKEN, api_base="http://127.0.0.1:9")
    with pytest.raises(TransientError, match="did not come through"):
        await media.fetch("http://127.0.0.1:9" + PATH)
    await media.close()


async def test_it_works_again_after_close(media: TwilioMedia, provider: Provider) -> None:
    for _ in range(2):
        assert (await media.fetch(provider.url + PATH)).content == JPEG
        await media.close()


async def test_nothing_that_opens_a_photo_is_logged_or_told(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    media = media_of(provider)
    provider.api = lambda request: RedirectResponse(f"{provider.media}/cdn/file?Signature=opens-it")
    provider.cdn = lambda request: Response(status_code=503)
    with pytest.raises(TransientError) as raised:
        await media.fetch(provider.url + PATH)
    provider.cdn = lambda request: Response(JPEG, media_type="image/jpeg")
    found = await media.fetch(provider.url + PATH)
    await media.close()
    told = caplog.text + str(raised.value) + repr(found)
    for secret in ("opens-it", TOKEN, base64.b64encode(f"{SID}:{TOKEN}".encode()).decode(), "a photo"):
        assert secret not in told
