"""The directories that tests share with guests: ``/tmp/shared`` with all, ``/tmp/xchg`` with one.

A machine that NixOS's start script boots has them mounted. In any other they are carried: before a
command that names one of them the guest's copy is made like the host's, and after it the host's like
the guest's. What the guest does there at other times is seen with the next such command.

Invariant: the guest is not trusted. Only plain files and directories are carried, nothing is written
outside the directory, and no link in it is followed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Dict, List, Tuple

from .command import Command
from .errors import MachineError

if TYPE_CHECKING:
    from .machine import Machine

_NAMED = re.compile(r"/tmp/(shared|xchg)(?![\w.-])")
#: When a file was last changed, and its size.
Stamp = Tuple[int, int]


class Shared:
    """What a machine shares with the test, as far as it has to be carried."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._life: object = None
        self._mounted: Dict[str, bool] = {}
        self._known: Dict[str, Dict[str, Stamp]] = {}

    def named(self, command: str) -> List[str]:
        """The directories that a command names and that have to be carried."""
        names = list(dict.fromkeys(_NAMED.findall(command)))
        if not names:
            return []
        life = self._machine.view.get("started")
        if life != self._life:
            self._life = life
            self._mounted.clear()
            self._known.clear()
        return [name for name in names if not self._is_mounted(name)]

    def _is_mounted(self, name: str) -> bool:
        if name not in self._mounted:
            command = self._run(f"grep -q ' /tmp/{name} ' /proc/mounts")
            self._mounted[name] = command.wait() == 0
        return self._mounted[name]

    def _host(self, name: str) -> Path:
        return self._machine.shared_dir if name == "shared" else self._machine.state_dir / "xchg"

    def _run(self, script: str, piped: bool = False) -> Command:
        return Command(self._machine, script, shown=False, piped=piped)

    def push(self, name: str) -> None:
        """Makes the guest's copy like the host's."""
        host = self._host(name)
        host.mkdir(parents=True, exist_ok=True)
        now, known = _scan(host), self._known.get(name, {})
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, stamp in now.items():
                if known.get(path) != stamp:
                    _add(tar, host, path)
        gone = [path for path in known if path not in now]
        if not gone and now == known and name in self._known:
            return
        script = (
            f"mkdir -p /tmp/{name} && chmod 1777 /tmp/{name} && cd /tmp/{name} && "
            + "".join(f"rm -rf -- {_quoted('./' + path)}; " for path in gone)
            + "tar -x -f -"
        )
        handle = self._run(script, piped=True)
        handle.stream.send(archive.getvalue())
        handle.stream.end_input()
        if handle.wait() != 0:
            raise MachineError(f"{self._machine.name}: /tmp/{name} cannot be filled: {handle.stderr.strip()}")
        self._known[name] = now

    def pull(self, name: str) -> None:
        """Makes the host's directory like the guest's copy."""
        host = self._host(name)
        handle = self._run(f"cd /tmp/{name} && tar -c -f - .")
        if handle.wait() != 0:
            raise MachineError(f"{self._machine.name}: /tmp/{name} cannot be read: {handle.stderr.strip()}")
        there = set()
        with tarfile.open(fileobj=io.BytesIO(handle.output_bytes), mode="r:") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts
                if not parts or ".." in parts or member.name.startswith("/"):
                    continue
                if not (member.isfile() or member.isdir()) or not _plain_parents(host, parts):
                    continue
                there.add("/".join(parts))
                path = host.joinpath(*parts)
                if member.isdir():
                    path.mkdir(exist_ok=True)
                    continue
                content = tar.extractfile(member)
                _write(path, content.read() if content is not None else b"", member.mode)
        for path_name in sorted(self._known.get(name, {}), reverse=True):
            if path_name not in there:
                _remove(host / path_name)
        self._known[name] = _scan(host)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _scan(host: Path) -> Dict[str, Stamp]:
    """The plain files and the directories below a directory, no links among them."""
    found: Dict[str, Stamp] = {}
    for directory, names, files in os.walk(host):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            if stat.S_ISDIR(info.st_mode):
                found[os.path.relpath(path, host)] = (0, 0)
            elif stat.S_ISREG(info.st_mode):
                found[os.path.relpath(path, host)] = (info.st_mtime_ns, info.st_size)
    return dict(sorted(found.items()))


def _add(tar: tarfile.TarFile, host: Path, name: str) -> None:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    tar.add(host / name, arcname=name, recursive=False, filter=anonymous)


def _plain_parents(host: Path, parts: Tuple[str, ...]) -> bool:
    """Whether what a path goes through are directories, and what is there already is no link."""
    path = host
    for part in parts[:-1]:
        path = path / part
        if path.is_symlink() or not path.is_dir():
            return False
    return not (path / parts[-1]).is_symlink()


def _write(path: Path, content: bytes, mode: int) -> None:
    if path.is_dir() or (path.is_file() and path.read_bytes() == content):
        return
    # Written beside and put into its place: whoever reads it sees all of it or the former.
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as f:
        f.write(content)
        os.fchmod(f.fileno(), (mode & 0o755) | 0o600)
    os.replace(new, path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        try:
            path.rmdir()
        except OSError:
            # Something else is in it by now.
            return
    else:
        path.unlink(missing_ok=True)
