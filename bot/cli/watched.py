"""A command of `sahpathi` as a child of the service, which it cannot outlive: `python -m bot.cli.watched train sft`.

Standard input is a pipe from the service. When it ends, however the service did, the command is stopped as by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

NICENESS = 10  # answers come first, and they are written at 5
GRACE = 8.0  # seconds from Ctrl-C to the end; what is lost by then is at most the steps since the last checkpoint


def main() -> None:
    """Run the command of our arguments."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # where memory runs out, Linux is to end this process and not the tutor
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the service may have it ignored
    threading.Thread(target=_end_with_the_service, daemon=True, name="service").start()
    from bot.cli import main as command

    command()


def _end_with_the_service() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE)
    os._exit(1)  # still at it: in a library that does not let itself be interrupted


if __name__ == "__main__":
    main()
