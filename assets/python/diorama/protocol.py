"""The session protocol as a client speaks it: frames, requests, the view, and streams.

A frame is a big-endian ``u32`` length, a tag byte and a body: ``J`` a JSON message, ``D`` a stream's
bytes (``u32`` stream, ``u8`` channel, bytes). One thread reads the socket and hands everything out;
any thread may write.

Invariant: flow is bounded both ways. What a stream's sink has taken is granted again; what is sent
waits for room. A connection that ended wakes whoever waits, with :class:`SessionGone`.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any, Callable, Dict, Optional

from .errors import Refused, SessionGone

PROTOCOL_VERSION = 1
MAX_FRAME = 4 << 20
STREAM_WINDOW = 1 << 20
INPUT_WINDOW = 256 << 10
PIECE = 16 << 10

#: What a stream gives: called by the reading thread with the channel and the bytes.
Sink = Callable[[int, bytes], None]
Message = Dict[str, Any]


def json_frame(message: Message) -> bytes:
    """Encodes a message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack(">I", 1 + len(body)) + b"J" + body


def data_frame(stream: int, channel: int, data: bytes) -> bytes:
    """Encodes a piece of a stream."""
    return struct.pack(">IcIB", 6 + len(data), b"D", stream, channel) + data


class Stream:
    """A console or a running command; :attr:`end` says how it ended, once it has."""

    def __init__(self, connection: Connection, sink: Sink) -> None:
        self.id = 0
        self.end: Optional[Message] = None
        self._connection = connection
        self._sink = sink
        self._consumed = 0
        self._room = INPUT_WINDOW
        self._changed = threading.Condition()

    def wait(self, timeout: Optional[float] = None) -> Optional[Message]:
        """Waits for the end; ``None`` when it has not come within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self.end is not None, timeout)
            return self.end

    def send(self, data: bytes) -> None:
        """Sends input, waiting for room; input to a stream that has ended is lost."""
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            with self._changed:
                self._changed.wait_for(lambda: self.end is not None or self._room >= len(piece))
                if self.end is not None:
                    return
                self._room -= len(piece)
            self._connection.send(data_frame(self.id, 0, piece))

    def end_input(self) -> None:
        """Says that no more input comes."""
        if self.end is None:
            self._connection.send(data_frame(self.id, 0, b""))

    def signal(self, number: int) -> None:
        """Sends a signal to the command's process group."""
        self._connection.tell({"type": "signal", "stream": self.id, "signal": number})

    def resize(self, rows: int, cols: int) -> None:
        """Changes the size of the command's terminal."""
        self._connection.tell({"type": "resize", "stream": self.id, "rows": rows, "cols": cols})

    def close(self) -> None:
        """Ends the stream; the command it belongs to is left to itself."""
        if self.end is None:
            self._connection.tell({"type": "close", "stream": self.id})

    def take(self, channel: int, data: bytes) -> None:
        """Takes in what came and grants as much again. Called by the reading thread."""
        self._sink(channel, data)
        self._consumed += len(data)
        if self._consumed >= STREAM_WINDOW // 8:
            grant, self._consumed = self._consumed, 0
            self._connection.tell({"type": "window", "stream": self.id, "bytes": grant})

    def taken(self, count: int) -> None:
        """Makes room for further input. Called by the reading thread."""
        with self._changed:
            self._room = min(INPUT_WINDOW, self._room + count)
            self._changed.notify_all()

    def finish(self, end: Message) -> None:
        """Takes in the end. Called by the reading thread."""
        with self._changed:
            self.end = end
            self._changed.notify_all()


class _Waiting:
    """An answer that has not come yet."""

    def __init__(self, stream: Optional[Stream]) -> None:
        self.stream = stream
        self.done = threading.Event()
        self.response: Optional[Message] = None


class Connection:
    """A connection to a session's daemon."""

    def __init__(self, path: str, client: str = "test", on_view: Optional[Callable[[Message], None]] = None):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
        except OSError as e:
            self._socket.close()
            raise SessionGone(f"{path}: {e}") from e
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._next_id = 1
        self._waiting: Dict[int, _Waiting] = {}
        self._streams: Dict[int, Stream] = {}
        self._on_view = on_view
        self._view: Message = {"revision": -1, "nodes": [], "links": [], "faults": 0}
        self._view_changed = threading.Condition()
        self.ended: Optional[str] = None
        self._reader = threading.Thread(target=self._read, name="session", daemon=True)
        self._reader.start()
        welcome = self.request({"type": "hello", "version": PROTOCOL_VERSION, "client": client})
        self.session: str = str(welcome.get("session", ""))

    # --- requests ---

    def request(self, request: Message, timeout: Optional[float] = None) -> Message:
        """Sends a request and gives its answer; a refusal is raised."""
        return self._ask(request, None, timeout)

    def act(self, do: str, **fields: Any) -> str:
        """Has something done; gives the daemon's line for people."""
        response = self.request({"type": "act", "action": {"do": do, **fields}})
        return str(response.get("message", ""))

    def open(self, request: Message, sink: Sink) -> Stream:
        """Opens a stream whose output goes to a sink."""
        stream = Stream(self, sink)
        self._ask(request, stream, None)
        return stream

    def tell(self, request: Message) -> None:
        """Sends a request that has no answer; a connection that is gone takes it with it."""
        with self._lock:
            number = self._next_id
            self._next_id += 1
        try:
            self.send(json_frame({"id": number, "request": request}))
        except SessionGone:
            pass

    def tell_test(self, what: str, **fields: Any) -> None:
        """Tells the session how its script goes; every client sees it."""
        told = {"what": what, **{k: v for k, v in fields.items() if v is not None}}
        self.tell({"type": "testTold", "told": told})

    def send(self, frame: bytes) -> None:
        """Writes a frame."""
        try:
            with self._write_lock:
                self._socket.sendall(frame)
        except OSError as e:
            raise self._gone() from e

    def _ask(self, request: Message, stream: Optional[Stream], timeout: Optional[float]) -> Message:
        waiting = _Waiting(stream)
        with self._lock:
            if self.ended is not None:
                raise self._gone()
            number = self._next_id
            self._next_id += 1
            self._waiting[number] = waiting
        self.send(json_frame({"id": number, "request": request}))
        if not waiting.done.wait(timeout):
            with self._lock:
                self._waiting.pop(number, None)
            raise Refused(f"the session gave no answer to {request['type']} within {timeout} s")
        response = waiting.response
        if response is None:
            raise self._gone()
        if response.get("result") == "error":
            raise Refused(str(response.get("message", "refused")), response.get("hint"))
        return response

    def _gone(self) -> SessionGone:
        return SessionGone(f"the session has ended: {self.ended or 'its daemon is gone'}")

    # --- the view ---

    def subscribe(self) -> Message:
        """Keeps :attr:`view` up to date from now on, and gives it."""
        response = self.request({"type": "subscribe"})
        self._show(response["view"])
        return self.view

    def refresh(self) -> Message:
        """The session as it is now."""
        view: Message = self.request({"type": "view"}, 30)["view"]
        self._show(view)
        return view

    @property
    def view(self) -> Message:
        """The session as it was last told."""
        with self._view_changed:
            return self._view

    def wait_view(self, check: Callable[[Message], bool], timeout: Optional[float] = None) -> bool:
        """Waits until a check of the view holds; false when it did not within the time."""
        with self._view_changed:
            self._view_changed.wait_for(lambda: self.ended is not None or check(self._view), timeout)
            if check(self._view):
                return True
        if self.ended is not None:
            raise self._gone()
        return False

    def _show(self, view: Message) -> None:
        with self._view_changed:
            # The answer to a subscription may be overtaken by an event.
            if view.get("revision", 0) < self._view.get("revision", 0):
                return
            self._view = view
            self._view_changed.notify_all()
        if self._on_view is not None:
            self._on_view(view)

    # --- reading ---

    def close(self) -> None:
        """Ends the connection; the session goes on."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if threading.current_thread() is not self._reader:
            self._reader.join(5)
        self._socket.close()

    def _read(self) -> None:
        reason = "its daemon closed the connection"
        try:
            with self._socket.makefile("rb", buffering=1 << 18) as file:
                while True:
                    head = file.read(4)
                    if len(head) < 4:
                        break
                    (length,) = struct.unpack(">I", head)
                    if not 0 < length <= MAX_FRAME:
                        reason = f"a frame of {length} bytes is not allowed"
                        break
                    body = file.read(length)
                    if len(body) < length:
                        break
                    goodbye = self._frame(body)
                    if goodbye is not None:
                        reason = goodbye
                        break
        except OSError as e:
            reason = str(e)
        except Exception as e:  # noqa: BLE001 - a fault in the reader must not leave anybody waiting
            reason = f"the driver could not read what its daemon said: {e!r}"
        self._end(reason)

    def _frame(self, body: bytes) -> Optional[str]:
        if body[:1] == b"D" and len(body) >= 6:
            stream_id, channel = struct.unpack(">IB", body[1:6])
            with self._lock:
                stream = self._streams.get(stream_id)
            if stream is not None:
                stream.take(channel, body[6:])
            return None
        if body[:1] != b"J":
            return f"a frame with the tag {body[:1]!r} makes no sense"
        message = json.loads(body[1:])
        kind = message.get("type")
        if kind == "response":
            self._answer(message["id"], message["response"])
        elif kind == "view":
            self._show(message["view"])
        elif kind == "streamClosed":
            with self._lock:
                stream = self._streams.pop(message["stream"], None)
            if stream is not None:
                stream.finish(message["end"])
        elif kind == "taken":
            with self._lock:
                stream = self._streams.get(message["stream"])
            if stream is not None:
                stream.taken(message["bytes"])
        elif kind == "goodbye":
            return str(message.get("reason", ""))
        # A message of a newer daemon that is not known here is passed over.
        return None

    def _answer(self, number: int, response: Message) -> None:
        with self._lock:
            waiting = self._waiting.pop(number, None)
            if waiting is None:
                return
            if waiting.stream is not None and response.get("result") == "stream":
                # The stream's first bytes may follow at once, so its place is made here.
                waiting.stream.id = response["stream"]
                self._streams[waiting.stream.id] = waiting.stream
        waiting.response = response
        waiting.done.set()

    def _end(self, reason: str) -> None:
        with self._lock:
            self.ended = reason
            waiting, self._waiting = list(self._waiting.values()), {}
            streams, self._streams = list(self._streams.values()), {}
        for one in waiting:
            one.done.set()
        for stream in streams:
            stream.finish({"how": "broken", "reason": f"the session has ended: {reason}"})
        with self._view_changed:
            self._view_changed.notify_all()
