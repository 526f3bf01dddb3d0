"""Pictures of a display and the text on them, with a reader in tesseract's place."""

from __future__ import annotations

import os
import re
import shutil
import threading
import unittest
from unittest import mock

import helpers
from diorama import MachineError, RequestedAssertionFailed, TestScriptError
from diorama.screen import WAYS, Grey

#: Says what it was asked for, and the header and size of the picture it was given.
READER = """#!/bin/sh
cat > "$0.in"
echo "asked $*"
echo "given $(head -n 1 "$0.in") of $(wc -c < "$0.in")"
[ ! -e "$0.text" ] || cat "$0.text"
"""


class Pictures(unittest.TestCase):
    def test_grey_pictures(self) -> None:
        grey = Grey.from_ppm(b"P6 2 2 255\n" + bytes(range(12)))
        self.assertEqual((grey.width, grey.height, grey.pixels), (2, 2, b"\x01\x04\x07\x0a"))
        big = grey.doubled()
        self.assertEqual((big.width, big.height), (4, 4))
        self.assertEqual(big.pixels, b"\1\1\4\4" * 2 + b"\7\7\n\n" * 2)
        self.assertEqual(grey.pgm(), b"P5 2 2 255\n\x01\x04\x07\x0a")

    def test_what_is_no_picture(self) -> None:
        for data in (b"", b"P5 1 1 255\n\0", b"P6 2 2 255\n" + bytes(11), b"P6 0 0 255\n", b"P6 1 1 65535\n" + bytes(6)):
            with self.assertRaises(MachineError, msg=repr(data)):
                Grey.from_ppm(data)


class Text(helpers.Case):
    def setUp(self) -> None:
        super().setUp()
        self.reader = self.out / "bin" / "tesseract"
        self.reader.parent.mkdir()
        self.reader.write_text(READER)
        self.reader.chmod(0o755)
        path = f"{self.reader.parent}{os.pathsep}{os.environ['PATH']}"
        patch = mock.patch.dict(os.environ, {"PATH": path})
        patch.start()
        self.addCleanup(patch.stop)
        self.m = self.driver().machines[0]

    def test_a_display_is_read_doubled_and_as_it_is(self) -> None:
        texts = self.m.get_screen_text_variants()
        self.assertEqual(len(texts), len(WAYS))
        for text, (doubled, layout) in zip(texts, WAYS):
            self.assertIn(f"--psm {layout} ", text)
            self.assertIn("given P5 4 2 255 of 19" if doubled else "given P5 2 1 255 of 13", text)
        self.assertEqual(self.m.get_screen_text(), texts[0])
        formats = [a["format"] for _n, c, a in self.daemon.qmp if c == "screendump"]
        self.assertEqual(formats, ["ppm", "ppm"])

    def test_text_is_waited_for(self) -> None:
        with self.assertRaises(RequestedAssertionFailed):
            self.m.wait_for_text("never", timeout=0.1)
        self.assertIn("the text on the display is:", self.said.getvalue())
        writer = threading.Timer(0.2, (self.reader.parent / "tesseract.text").write_text, ("Welcome, all\n",))
        writer.start()
        self.m.wait_for_text(r"W\w+, all", timeout=30)
        writer.join()

    def test_without_a_reader_the_error_says_what_is_missing(self) -> None:
        self.reader.unlink()
        with mock.patch.dict(os.environ, {"PATH": str(self.reader.parent)}):
            with self.assertRaisesRegex(TestScriptError, "tesseract-ocr"):
                self.m.get_screen_text()

    @unittest.skipUnless(shutil.which("tesseract"), "tesseract is not installed")
    def test_the_real_reader_takes_what_it_is_given(self) -> None:
        self.reader.unlink()
        self.daemon.ppm = b"P6 200 60 255\n" + b"\xff" * (200 * 60 * 3)
        self.assertEqual([re.sub(r"\s", "", text) for text in self.m.get_screen_text_variants()], [""] * len(WAYS))
