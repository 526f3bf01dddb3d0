"""A report on a larder: what is in it, and how busy it is. It asks through the larder command."""

import argparse
import json
import subprocess
import sys
from typing import Any, Dict, List


class LarderError(Exception):
    """The larder did not do what it was asked to."""


class Larder:
    """A larder on a host."""

    def __init__(self, host: str, port: int) -> None:
        self.command = ["larder", "-H", host, "-p", str(port), "-j"]

    def ask(self, *words: str) -> Dict[str, Any]:
        """Sends a request and gives the answer."""
        done = subprocess.run([*self.command, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LarderError(done.stderr.strip())
        return json.loads(done.stdout)

    def keys(self, pattern: str) -> List[str]:
        """The keys that match a pattern."""
        return self.ask("keys", pattern)["keys"]

    def size_of(self, key: str) -> int:
        """The size of a value in bytes."""
        return len(self.ask("get", key).get("value", "").encode())

    def statistics(self) -> Dict[str, int]:
        """What the server has done."""
        return self.ask("stats")["statistics"]


def human(size: int) -> str:
    """A size as people say it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def report(larder: Larder, pattern: str) -> str:
    """The report's text."""
    sizes = sorted(((larder.size_of(key), key) for key in larder.keys(pattern)), reverse=True)
    lines = [f"{human(size):>10}  {key}" for size, key in sizes]
    numbers = larder.statistics()
    asked = numbers["hits"] + numbers["misses"]
    if asked:
        lines.append(f"{100 * numbers['hits'] // asked} of 100 questions were answered")
    else:
        lines.append("nobody has asked yet")
    lines.append(f"{len(sizes)} keys, {human(sum(size for size, _ in sizes))}")
    return "\n".join(lines)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=7411)
    parser.add_argument("pattern", nargs="?", default="*")
    words = parser.parse_args()
    try:
        print(report(Larder(words.host, words.port), words.pattern))
    except LarderError as e:
        print(f"larder-report: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
