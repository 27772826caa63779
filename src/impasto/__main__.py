"""``python -m impasto`` and the script ``impasto`` run the command."""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Run the command.

    Importing it takes a moment; Ctrl-C in that moment ends the process without a traceback.
    """
    # Where SIGINT is ignored, as in a script's background job, it stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from impasto.cli.app import run

    run()


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
