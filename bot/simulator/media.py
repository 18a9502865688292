"""What students send that is not text: kept for the service to fetch, and small samples where a test gives none."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 500

SAMPLES = Path(__file__).parent / "samples"
TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "oga": "audio/ogg", "vcf": "text/vcard"}
SUFFIXES = {content_type: suffix for suffix, content_type in TYPES.items()}


@dataclass(frozen=True, slots=True)
class File:
    """A file on a provider's server."""

    id: str
    content_type: str
    content: bytes

    @property
    def name(self) -> str:
        return f"{self.id}.{SUFFIXES.get(self.content_type, 'bin')}"

    @property
    def sha256(self) -> str:
        """As Meta gives it: base64."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode("ascii")


class Files:
    """The latest files."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, File] = OrderedDict()
        self._samples = {
            path.stem: (TYPES[path.suffix.removeprefix(".")], path.read_bytes()) for path in SAMPLES.iterdir()
        }

    def keep(self, kind: str, content: bytes = b"", content_type: str = "") -> File:
        """A file of this kind: what is given, or else a sample."""
        sample_type, sample = self._samples[kind]
        file = File(uuid.uuid4().hex, content_type or sample_type, content or sample)
        self._files[file.id] = file
        if len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        return file

    def find(self, file_id: str) -> File | None:
        return self._files.get(file_id)
