"""Copying files between the host and a guest, through the guest's shell.

Invariant: the guest is not trusted. What comes out of it is unpacked by name checks of our own:
nothing is written outside the output directory, and neither links that lead out of what was copied
nor devices are made.
"""

from __future__ import annotations

import base64
import io
import os
import shlex
import tarfile
import threading
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Union

from .errors import MachineError, RequestedAssertionFailed

if TYPE_CHECKING:
    from .command import Command

PathLike = Union[str, "os.PathLike[str]"]


class Files:
    """What a machine can copy."""

    # What the machine gives.
    name: str
    out_dir: Path
    spawn: Callable[..., Command]
    succeed: Callable[..., str]
    nested: Callable[..., ContextManager[None]]
    driver: Any

    def copy_from_machine(self, source: str, target_dir: str = "") -> None:
        """Copies a file or a directory of the guest into the output directory."""
        with self.nested(f"copying {source} to the output directory"):
            target = self.out_dir / target_dir
            # A link is followed to what it means; the words are those that busybox knows too.
            script = (
                f"cd / && test -e {shlex.quote(source)} || {{ echo 'no such file' >&2; exit 1; }}; "
                f"p=$(readlink -f {shlex.quote(source)}); "
                'b=${p##*/}; cd "${p%/*}/"; printf "%s\\0" "$b"; tar -c -f - "./$b"'
            )
            handle = self.spawn(script, shown=False)
            status = handle.wait()
            if status != 0:
                raise RequestedAssertionFailed(
                    f"{self.name}: {source} cannot be copied (exit code {status}): {handle.stderr.strip()}"
                )
            real, archive = handle.output_bytes.split(b"\0", 1)
            name = PurePosixPath(source).name or "root"
            unpack(archive, real.decode(errors="surrogateescape"), target / name)
            self.driver.log.event("artifact", path=str(target / name), node=self.name)

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """An older name of :meth:`copy_from_machine`."""
        self.copy_from_machine(source, target_dir)

    def copy_from_host(self, source: PathLike, target: PathLike) -> None:
        """Copies a file or a directory of the host into the guest."""
        path = Path(source)
        if not path.exists():
            raise RequestedAssertionFailed(f"{self.name}: {source} is not there on the host")
        with self.nested(f"copying {source} to {target}"):
            where = shlex.quote(os.fspath(target))
            script = (
                f't=$(mktemp -d /tmp/copy.XXXXXX); trap \'rm -rf "$t"\' EXIT; tar -C "$t" -x -f -; '
                f'mkdir -p -- "$(dirname -- {where})"; cp -r -- "$t/content" {where}'
            )
            self._send(script, lambda out: pack(path, out), f"{source} cannot be copied to {target}")

    def copy_from_host_via_shell(self, source: PathLike, target: PathLike) -> None:
        """Copies a file of the host into the guest with nothing but its shell and ``base64``."""
        content = base64.b64encode(Path(source).read_bytes())
        where = shlex.quote(os.fspath(target))
        with self.nested(f"copying {source} to {target}"):
            self.succeed(f'mkdir -p -- "$(dirname -- {where})"', f": > {where}")
            script = f"base64 -d > {where}"
            self._send(script, lambda out: out(content), f"{source} cannot be copied to {target}")

    def _send(self, script: str, write: Callable[[Callable[[bytes], Any]], Any], failure: str) -> None:
        handle = self.spawn(script, shown=False, piped=True)
        problem: list[BaseException] = []

        def feed() -> None:
            try:
                write(handle.stream.send)
                handle.stream.end_input()
            except Exception as e:  # noqa: BLE001 - told by the thread that waits
                problem.append(e)
                handle.kill()

        sender = threading.Thread(target=feed, name=f"copy to {self.name}", daemon=True)
        sender.start()
        status = handle.wait()
        sender.join()
        if problem:
            raise MachineError(f"{self.name}: {failure}: {problem[0]}") from problem[0]
        if status != 0:
            raise RequestedAssertionFailed(
                f"{self.name}: {failure} (exit code {status}): {handle.stderr.strip()}"
            )


class _Writer(io.RawIOBase):
    """A file that hands on what is written to it."""

    def __init__(self, out: Callable[[bytes], Any]) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out(bytes(data))
        return len(data)


def pack(path: Path, out: Callable[[bytes], Any]) -> None:
    """Writes a file or directory as a tar archive whose only entry is ``content``."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with io.BufferedWriter(_Writer(out), 1 << 16) as file, tarfile.open(
        fileobj=file, mode="w|", dereference=path.is_symlink(), format=tarfile.PAX_FORMAT
    ) as archive:
        archive.add(path, arcname="content", filter=anonymous)


def unpack(archive: bytes, root: str, target: Path) -> None:
    """Writes an archive whose entries lie below ``root`` as ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if not parts or parts[0] != root or ".." in parts or "/" in parts:
                raise MachineError(f"the guest sent an archive with an entry named {member.name!r}")
            path = target.joinpath(*parts[1:])
            # A link that came before must not lead what follows astray.
            for parent in [path, *path.parents]:
                if parent == target.parent:
                    break
                if parent.is_symlink():
                    parent.unlink()
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                path.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                path.write_bytes(content.read() if content is not None else b"")
                path.chmod((member.mode & 0o755) | 0o600)
            elif member.issym() and stays_within(parts[1:-1], member.linkname) and len(parts) > 1:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(member.linkname)


def stays_within(directory: tuple[str, ...], link: str) -> bool:
    """Whether a relative link in a directory below the root leads nowhere above the root."""
    if link.startswith("/"):
        return False
    depth = len(directory)
    for part in link.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True
