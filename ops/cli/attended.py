"""Run a command of ours that ends when whoever started it does: `python -m ops.cli.attended COMMAND …`.

Its standard input is a pipe into which nobody writes. The kernel closes the other end when that process ends, however
it ends, and the command gets a SIGTERM, as it would have got from that process.
"""

import os
import signal
import sys
import threading

from ops.cli.main import main


def _end_with_the_other_end() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_other_end, daemon=True).start()
    main()
