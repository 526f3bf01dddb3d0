"""A machine's display: pictures of it, and the text on them.

Invariant: reading text needs ``tesseract`` on the host; without it the error says so, and nothing
else depends on it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, List, Pattern

from .errors import MachineError, Refused, TestScriptError
from .timing import DEFAULT_TIMEOUT, Duration

#: How long QEMU may take to write a picture.
PICTURE_TIMEOUT = 20.0
#: Ways in which tesseract looks at a picture: scattered text, and one block of it.
LAYOUTS = ("11", "6")


class Display:
    """What a machine shows."""

    # What the machine gives.
    name: str
    out_dir: Path
    qmp: Callable[..., Any]
    retry: Callable[..., None]
    nested: Callable[..., ContextManager[None]]
    log: Callable[[str], None]
    start: Callable[..., None]
    driver: Any

    def screenshot(self, filename: str) -> None:
        """Takes a picture (PNG) of the display; a plain name means a file in the output directory."""
        if "." not in Path(filename).name:
            filename += ".png"
        path = Path(filename) if "/" in filename else self.out_dir / filename
        with self.nested(f"making screenshot {path}", {"image": path.name}):
            self._picture(path)
        self.driver.log.event("artifact", node=self.name, path=str(path), kind="screenshot")

    def _picture(self, path: Path) -> None:
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.qmp("screendump", {"filename": str(path), "format": "png"})
        except Refused as e:
            hint = "; does the model say virtualisation.graphics = true?" if "console" in e.message.lower() else ""
            raise MachineError(f"{self.name}: no picture could be taken: {e.message}{hint}") from e
        # QEMU answers before a slow display has been written out.
        deadline = time.monotonic() + PICTURE_TIMEOUT
        while not _is_whole_png(path):
            if time.monotonic() >= deadline:
                raise MachineError(f"{self.name}: QEMU wrote no picture to {path}")
            time.sleep(0.05)

    def get_screen_text_variants(self) -> List[str]:
        """The text on the display, read in several ways."""
        return self._read(LAYOUTS)

    def get_screen_text(self) -> str:
        """The text on the display."""
        return self._read(LAYOUTS[:1])[0]

    def _read(self, layouts: tuple[str, ...]) -> List[str]:
        tesseract = shutil.which("tesseract")
        if tesseract is None:
            raise TestScriptError("text on a display is read by tesseract, which is not installed (tesseract-ocr)")
        with tempfile.TemporaryDirectory(prefix="screen-") as directory:
            picture = Path(directory) / "screen.png"
            self._picture(picture)
            texts = []
            for layout in layouts:
                command = [tesseract, str(picture), "-", "--psm", layout, "-c", "debug_file=/dev/null"]
                done = subprocess.run(
                    command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=300
                )
                if done.returncode != 0:
                    raise MachineError(f"tesseract failed: {done.stderr.decode(errors='replace').strip()}")
                texts.append(done.stdout.decode(errors="replace"))
            return texts

    def wait_for_text(self, regex: str, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until text on the display matches."""
        pattern: Pattern[str] = re.compile(regex)

        def screen_matches(last_try: bool) -> bool:
            texts = self.get_screen_text_variants()
            if any(pattern.search(text) for text in texts):
                return True
            if last_try:
                self.log("last attempt failed; the text on the display is:\n" + "\n".join(texts))
            return False

        with self.nested(f"waiting for {regex} to appear on screen"):
            self.retry(screen_matches, timeout)

    def dump_tty_contents(self, tty: str) -> None:
        """Writes what a virtual terminal shows to the output directory."""
        execute: Callable[[str], Any] = getattr(self, "execute")
        copy: Callable[[str], None] = getattr(self, "copy_from_machine")
        execute(f"fold -w 80 /dev/vcs{tty} | systemd-cat; fold -w 80 /dev/vcs{tty} > /tmp/tty{tty}.txt")
        copy(f"/tmp/tty{tty}.txt")


def _is_whole_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-12, 2)
            return file.read() == b"\0\0\0\0IEND\xaeB`\x82"
    except OSError:
        return False


