"""Machines that the model does not name: from the words of ``create_machine`` to a start script.

A start command is one program with its arguments, in the NixOS test driver's shape: what connects it
with the session is given to it at its end, or, when it is a start script of NixOS's making, in
``QEMU_OPTS``. It has to become QEMU (``exec``), not to start it and wait.

Invariant: pure, but for reading the start script that a command names.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .errors import TestScriptError

#: The words of the older form: a dictionary.
_KNOWN = {
    "name", "startCommand", "qemuBinary", "qemuFlags", "hda", "hdaInterface", "cdrom", "usb", "bios",
    "netBackendArgs", "netFrontendArgs", "keep_vm_state", "allow_reboot",
}
_PLUG = re.compile(r"QEMU_VDE_SOCKET_(\d+)")
#: What only a shell takes apart into several commands.
_SEVERAL = re.compile(r"[;&|\n()`]")


class StartCommand:
    """How a machine of one's own is started."""

    def __init__(self, words: Union[str, Mapping[str, Any]]) -> None:
        given: Dict[str, Any] = {"startCommand": words} if isinstance(words, str) else dict(words)
        unknown = sorted(given.keys() - _KNOWN)
        if unknown:
            raise TestScriptError(f"create_machine: {', '.join(unknown)} is not known here")
        self.allow_reboot = bool(given.get("allow_reboot", False))
        self.command = str(given["startCommand"] if "startCommand" in given else _legacy(given)).strip()
        self._file, self._text = _script(self.command)
        if self._file is not None:
            # It is started in a directory of its own.
            self.command = shlex.quote(self._file)
        if self._file is None and _SEVERAL.search(_unquoted(self.command)):
            raise TestScriptError(
                "create_machine: a start command is one program with its arguments; "
                f"put more into a script that ends with exec: {self.command}"
            )
        found = re.fullmatch(r"run-(.+)-vm", Path(self._file or "").name)
        #: What the machine is called when nobody says.
        self.name = str(given.get("name") or (found[1] if found else "machine"))

    @property
    def vlans(self) -> List[int]:
        """The VLANs that it plugs into, in the order of its plugs."""
        return [int(n) for n in dict.fromkeys(_PLUG.findall(self.command + self._text))]

    def script(self, name: str) -> str:
        """The start script that the session runs."""
        lines = ["#!/bin/sh", f"# Starts {name}, which the test script has made.", 'mkdir -p "$TMPDIR"; cd "$TMPDIR"']
        if "QEMU_OPTS" in self.command + self._text:
            lines.append(f"exec {self.command}")
        else:
            lines += ["options=$QEMU_OPTS", "unset QEMU_OPTS", f"exec {_with_qemu(self.command)} $options"]
        return "\n".join([*lines, ""])


def free_name(wanted: str, taken: List[str]) -> str:
    """The wanted name, or one like it that nobody has."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def _script(command: str) -> Tuple[Optional[str], str]:
    """The start script that a command is, with its text; nothing when it is a QEMU's command line."""
    try:
        words = shlex.split(command)
    except ValueError as e:
        raise TestScriptError(f"create_machine: {e}: {command}") from e
    if not words:
        raise TestScriptError("create_machine: there is no start command")
    if len(words) > 1 or "/" not in words[0]:
        return None, ""
    path = os.path.abspath(words[0])
    try:
        with open(path, "rb") as f:
            head = f.read(1 << 20)
    except OSError as e:
        raise TestScriptError(f"create_machine: {e}") from e
    return path, head.decode(errors="replace") if head.startswith(b"#!") else ""


def _unquoted(command: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", command)


def _with_qemu(command: str) -> str:
    """``qemu-kvm`` is what some distributions call a program that others do not have by this name."""
    if command.split(maxsplit=1)[0] == "qemu-kvm" and shutil.which("qemu-kvm") is None:
        return command.replace("qemu-kvm", "qemu-system-x86_64", 1)
    return command


def _legacy(given: Mapping[str, Any]) -> str:
    """The QEMU command line that the older form means."""

    def text(key: str) -> str:
        return str(given[key]) if given.get(key) else ""

    def file(key: str) -> str:
        return shlex.quote(os.path.abspath(text(key)))

    backend = ",".join(filter(None, ["-netdev user,id=user.0", text("netBackendArgs")]))
    frontend = ",".join(filter(None, ["-device virtio-net-pci,netdev=user.0", text("netFrontendArgs")]))
    words = [text("qemuBinary") or "qemu-kvm", "-m 384", backend, frontend]
    if given.get("hda"):
        interface = text("hdaInterface") or "virtio"
        if interface == "scsi":
            words.append(f"-drive id=hda,file={file('hda')},werror=report,if=none -device scsi-hd,drive=hda")
        else:
            words.append(f"-drive file={file('hda')},if={interface},werror=report")
    if given.get("cdrom"):
        words.append(f"-cdrom {file('cdrom')}")
    if given.get("usb"):
        words.append(
            f"-device usb-ehci -drive id=usbdisk,file={file('usb')},if=none,readonly=on "
            "-device usb-storage,drive=usbdisk"
        )
    if given.get("bios"):
        words.append(f"-bios {file('bios')}")
    if given.get("qemuFlags"):
        words.append(text("qemuFlags"))
    return " ".join(words)
