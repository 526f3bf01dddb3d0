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
from typing import Any, Callable, ContextManager, Iterator, List, Pattern

from .errors import MachineError, Refused, TestScriptError
from .timing import DEFAULT_TIMEOUT, Duration

#: How long QEMU may take to write a picture.
PICTURE_TIMEOUT = 20.0
#: How a picture is given to tesseract: whether doubled in size, and the layout it is to expect
#: (11: scattered text, 6: one block of it). What finds most comes first: small letters are read only when
#: they are enlarged, some large ones better when they are not.
WAYS = ((True, "11"), (False, "11"), (True, "6"))
#: Pictures with more rows than this are never doubled: tesseract knows letters as high as print has them.
SMALL = 1300


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
            self._picture(path, "png")
        self.driver.log.event("artifact", node=self.name, path=str(path), kind="screenshot")

    def _picture(self, path: Path, kind: str) -> None:
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.qmp("screendump", {"filename": str(path), "format": kind})
        except Refused as e:
            hint = "; does the model say virtualisation.graphics = true?" if "console" in e.message.lower() else ""
            raise MachineError(f"{self.name}: no picture could be taken: {e.message}{hint}") from e
        # QEMU answers before a slow display has been written out.
        is_whole = _is_whole_png if kind == "png" else _is_whole_ppm
        deadline = time.monotonic() + PICTURE_TIMEOUT
        while not is_whole(path):
            if time.monotonic() >= deadline:
                raise MachineError(f"{self.name}: QEMU wrote no picture to {path}")
            time.sleep(0.05)

    def get_screen_text_variants(self) -> List[str]:
        """The text on the display, read in several ways."""
        return list(self._readings())

    def get_screen_text(self) -> str:
        """The text on the display."""
        return next(self._readings())

    def _readings(self) -> Iterator[str]:
        tesseract = shutil.which("tesseract")
        if tesseract is None:
            raise TestScriptError(
                "text on a display is read by tesseract, which is not installed: `diorama setup` does that "
                "(the package is tesseract-ocr)"
            )
        with tempfile.TemporaryDirectory(prefix="screen-") as directory:
            picture = Path(directory) / "screen.ppm"
            self._picture(picture, "ppm")
            grey = Grey.from_ppm(picture.read_bytes())
            for doubled, layout in WAYS:
                command = [tesseract, "stdin", "stdout", "--psm", layout, "-c", "debug_file=/dev/null"]
                image = (grey.doubled() if doubled and grey.height <= SMALL else grey).pgm()
                done = subprocess.run(command, capture_output=True, check=False, input=image, timeout=300)
                if done.returncode != 0:
                    raise MachineError(f"tesseract failed: {done.stderr.decode(errors='replace').strip()}")
                yield done.stdout.decode(errors="replace")

    def wait_for_text(self, regex: str, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until text on the display matches."""
        pattern: Pattern[str] = re.compile(regex)

        def screen_matches(last_try: bool) -> bool:
            texts = []
            for text in self._readings():
                if pattern.search(text):
                    return True
                texts.append(text)
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


def _is_whole_ppm(path: Path) -> bool:
    try:
        Grey.from_ppm(path.read_bytes())
    except (OSError, MachineError):
        return False
    return True


class Grey:
    """A picture in grey, a byte a pixel."""

    _HEADER = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s")

    def __init__(self, width: int, height: int, pixels: bytes) -> None:
        self.width, self.height, self.pixels = width, height, pixels

    @classmethod
    def from_ppm(cls, data: bytes) -> Grey:
        """Reads a picture as QEMU writes it: of every pixel the green, which the eye takes for light."""
        header = cls._HEADER.match(data)
        if header is None:
            raise MachineError("QEMU wrote no picture that is understood")
        width, height = int(header[1]), int(header[2])
        pixels = data[header.end() : header.end() + 3 * width * height]
        if len(pixels) < 3 * width * height or not pixels:
            raise MachineError("QEMU's picture is cut off")
        return cls(width, height, pixels[1::3])

    def doubled(self) -> Grey:
        """Twice as wide and as high."""
        wide = bytearray(2 * len(self.pixels))
        wide[0::2] = wide[1::2] = self.pixels
        step = 2 * self.width
        rows = [bytes(wide[i : i + step]) * 2 for i in range(0, len(wide), step)]
        return Grey(step, 2 * self.height, b"".join(rows))

    def pgm(self) -> bytes:
        """The picture in a form that every program reads."""
        return b"P5 %d %d 255\n" % (self.width, self.height) + self.pixels
