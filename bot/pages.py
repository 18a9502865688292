"""What every HTML page of ours shares: security headers, templates, static files, and bodies of bounded size."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from pathlib import Path

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send "Origin: null" on our own forms
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
FOR_EVER = "public, max-age=31536000, immutable"


class BodyTooLarge(Exception):
    """A request body over the limit; it was not read to the end."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises BodyTooLarge."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)


def templates(folder: Path) -> Environment:
    """Jinja2 that escapes everything and fails on a misspelt name."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": True}
    return environment


def compressible(request: Request, body: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """A response that is gzipped for a browser that takes it: pages are read over slow networks."""
    headers = PAGE_HEADERS | headers | {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=media_type, headers=headers)


class Assets:
    """The static files of one folder, read once. Their addresses carry a hash, so browsers may keep them for ever."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._prefix = prefix
        self._files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self._versions = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in self._files.items()}

    def url(self, name: str) -> str:
        """The address of a file, for templates. Raises KeyError for a file that is not there."""
        return f"{self._prefix}/{name}?v={self._versions[name]}"

    def respond(self, request: Request, name: str) -> Response:
        """The file, 304 when the browser holds it, or 404."""
        if name not in self._files:
            return Response("Not found\n", 404, media_type="text/plain")
        version = self._versions[name]
        named = request.query_params.get("v") == version
        headers = {"ETag": f'W/"{version}"', "Cache-Control": FOR_EVER if named else "no-cache"}
        if version in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers | {"Vary": "Accept-Encoding"})
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return compressible(request, self._files[name], media_type, headers)
