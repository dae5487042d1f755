"""A small process between us and a solver's binary, so that nothing outlives our own process.

Run as a script. It makes a private folder and prints its path as JSON; it reads one JSON line
with the command, runs it in that folder, and copies its output; each further byte on its standard
input sends the command SIGINT. When the command ends it prints `FINISHED` and the exit status,
negative for a signal. When its input closes,
which also happens when our process is killed, it kills the command and removes the folder.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

FINISHED = "\x00finished"


def main() -> None:
    """Serve one command."""
    folder = tempfile.mkdtemp(prefix="bnnopt-")
    try:
        print(json.dumps(folder), flush=True)
        request = sys.stdin.buffer.readline()
        if request:
            _serve(folder, json.loads(request))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: str, command: list[str]) -> None:
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)

    def report() -> None:
        status = child.wait()
        print(FINISHED, status, flush=True)

    watcher = threading.Thread(target=report)
    watcher.start()
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        while True:
            selector.select()
            if not os.read(0, 64):
                break
            child.send_signal(signal.SIGINT)
    child.kill()
    watcher.join()


if __name__ == "__main__":
    main()
