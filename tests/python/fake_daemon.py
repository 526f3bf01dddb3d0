"""A daemon for tests: speaks the real protocol, and runs a machine's commands on this host.

Invariant: like the real one it keeps to the windows, and fails a test whose client does not.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

STREAM_WINDOW = 1 << 20
INPUT_WINDOW = 256 << 10
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class FakeDaemon:
    """A session with some machines on VLAN 1."""

    def __init__(self, *names: str, running: bool = False) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="fake-daemon-")
        self.path = os.path.join(self.directory.name, "daemon.sock")
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.acts: list[dict] = []
        self.qmp: list[tuple] = []
        #: What a display shows.
        self.ppm = b"P6\n# a dot\n2 1\n255\n\x10\x20\x30\xff\xf0\xff"
        self.clients: list[Client] = []
        self.cuts: set[tuple[str, str]] = set()
        self.lowered: set[str] = set()
        self.violations: list[str] = []
        self.down_asked = False
        self.told: list[dict] = []
        self.refuse_start = False
        self.host_names: dict[str, str] = {}
        self.revision = 0
        self.nodes = {
            n: {"state": "up" if running else "built", "agent": running, "started": 1 if running else None}
            for n in names
        }
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            client = Client(self, connection)
            with self.lock:
                self.clients.append(client)
            threading.Thread(target=client.serve, daemon=True).start()

    def view(self) -> dict:
        names = sorted(self.nodes)
        return {
            "revision": self.revision,
            "session": "fake",
            "network": "fake",
            "phase": {"name": "running"},
            "faults": len(self.cuts) + len(self.lowered),
            "nodes": [
                {
                    "name": n,
                    **self.nodes[n],
                    "interfaces": [{"name": "eth1", "vlan": 1, "carrier": n not in self.lowered}],
                }
                for n in names
            ],
            "links": [
                {"from": a, "to": b, "vlans": [1], "wanted": "cut" if (a, b) in self.cuts else "ok"}
                for a in names
                for b in names
                if a != b
            ],
        }

    def publish(self) -> None:
        with self.lock:
            self.revision += 1
            message = {"type": "view", "view": self.view()}
            for client in self.clients:
                if client.subscribed:
                    client.send(message)

    def set(self, node: str, **fields: object) -> None:
        with self.lock:
            self.nodes[node].update(fields)
        self.publish()

    def boot(self, node: str) -> None:
        self.set(node, state="booting", started=time.time_ns())
        self.console(node, b"Linux version 6\r\n\x1b[32mlogin: \x1b[0m\r\n")
        self.set(node, state="up", agent=True)

    def stop(self, node: str, state: str = "stopped") -> None:
        self.set(node, state=state, agent=False)
        with self.lock:
            for client in self.clients:
                client.break_off(node)

    def console(self, node: str, data: bytes) -> None:
        with self.lock:
            for client in self.clients:
                for stream in list(client.streams.values()):
                    if stream.kind == "console" and stream.node == node:
                        stream.output(0, data)

    def qmp_event(self, node: str, event: dict) -> None:
        with self.lock:
            for client in self.clients:
                for stream in list(client.streams.values()):
                    if stream.kind == "events" and stream.node == node:
                        stream.output(0, json.dumps(event).encode() + b"\n")

    def die(self) -> None:
        self.listener.close()
        with self.lock:
            clients, self.clients = self.clients, []
        for client in clients:
            client.end()

    def close(self) -> None:
        self.die()
        self.directory.cleanup()


class FakeStream:
    def __init__(self, client: Client, number: int, kind: str, node: str) -> None:
        self.client, self.number, self.kind, self.node = client, number, kind, node
        self.window = STREAM_WINDOW
        self.room = threading.Condition()
        self.closed = False
        self.process: subprocess.Popen | None = None
        self.typed = b""

    def output(self, channel: int, data: bytes) -> None:
        for at in range(0, len(data), 65536):
            piece = data[at : at + 65536]
            with self.room:
                self.room.wait_for(lambda: self.closed or self.window >= len(piece))
                self.window -= len(piece)
            if self.closed:
                return
            self.client.frame(b"D" + struct.pack(">IB", self.number, channel) + piece)

    def grant(self, count: int) -> None:
        with self.room:
            self.window += count
            if self.window > STREAM_WINDOW:
                self.client.daemon.violations.append("more was granted than had come")
            self.room.notify_all()

    def run(self, argv: list[str], env: list[str]) -> None:
        environment = {**os.environ, **dict(e.split("=", 1) for e in env)}
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as e:
            self.finish({"how": "notStarted", "reason": str(e)})
            return
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        def read(file, channel: int) -> None:
            while data := os.read(file.fileno(), 65536):
                self.output(channel, data)

        threads = [
            threading.Thread(target=read, args=(f, c), daemon=True)
            for f, c in ((self.process.stdout, 1), (self.process.stderr, 2))
        ]
        for t in threads:
            t.start()
        code = self.process.wait()
        for t in threads:
            # What orphans write is not waited for.
            t.join(0.5)
        self.finish({"how": "exited", "code": code} if code >= 0 else {"how": "killed", "signal": -code})

    def finish(self, end: dict) -> None:
        with self.client.daemon.lock:
            if self.closed:
                return
            self.closed = True
            self.client.streams.pop(self.number, None)
        with self.room:
            self.room.notify_all()
        self.client.send({"type": "streamClosed", "stream": self.number, "end": end})

    def input(self, data: bytes) -> None:
        if self.process is None:
            self.typed += data
        elif not data:
            self.process.stdin.close()
        else:
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except (BrokenPipeError, ValueError):
                pass
        if data:
            self.client.send({"type": "taken", "stream": self.number, "bytes": len(data)})

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)


class Client:
    def __init__(self, daemon: FakeDaemon, connection: socket.socket) -> None:
        self.daemon, self.connection = daemon, connection
        self.write = threading.Lock()
        self.streams: dict[int, FakeStream] = {}
        self.next = 1
        self.subscribed = False

    def frame(self, body: bytes) -> None:
        try:
            with self.write:
                self.connection.sendall(struct.pack(">I", len(body)) + body)
        except OSError:
            pass

    def send(self, message: dict) -> None:
        self.frame(b"J" + json.dumps(message).encode())

    def end(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for stream in list(self.streams.values()):
            stream.closed = True
            stream.signal(signal.SIGKILL)

    def break_off(self, node: str) -> None:
        for stream in list(self.streams.values()):
            if stream.node == node and stream.kind == "exec":
                stream.finish({"how": "broken", "reason": "the machine stopped"})
                stream.signal(signal.SIGKILL)

    def serve(self) -> None:
        file = self.connection.makefile("rb")
        while True:
            try:
                head = file.read(4)
                body = file.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""
            except OSError:
                return
            if not body:
                return
            if body[:1] == b"D":
                number, _channel = struct.unpack(">IB", body[1:6])
                stream = self.streams.get(number)
                if stream is not None:
                    stream.input(body[6:])
                continue
            message = json.loads(body[1:])
            response = self.request(message["request"])
            if response is not None:
                self.send({"type": "response", "id": message["id"], "response": response})
                if response.get("result") == "stream":
                    self.begin(response["stream"], message["request"])

    def request(self, request: dict) -> dict | None:
        daemon, kind = self.daemon, request["type"]
        if kind == "hello":
            if request["version"] != 1:
                return {"result": "error", "message": "another version"}
            return {"result": "welcome", "version": 1, "session": "fake"}
        if kind in ("view", "subscribe"):
            self.subscribed = self.subscribed or kind == "subscribe"
            return {"result": "view", "view": daemon.view()}
        if kind == "manifest":
            nodes = {n: {"hostName": self.daemon.host_names.get(n, n)} for n in daemon.nodes}
            return {"result": "manifest", "manifest": {"nodes": nodes}}
        if kind == "down":
            daemon.down_asked = True
            return {"result": "ok", "message": ""}
        if kind == "act":
            return self.act(request["action"])
        if kind == "testTold":
            with daemon.changed:
                daemon.told.append(request["told"])
                daemon.changed.notify_all()
            return None
        if kind == "qmp":
            daemon.qmp.append((request["node"], request["command"], request["arguments"]))
            if request["command"] == "screendump":
                with open(request["arguments"]["filename"], "wb") as f:
                    f.write(PNG if request["arguments"]["format"] == "png" else daemon.ppm)
            value = "status: running" if request["command"] == "human-monitor-command" else {}
            return {"result": "qmp", "value": value}
        if kind in ("exec", "console", "qmpEvents"):
            if request["node"] not in daemon.nodes:
                return {"result": "error", "message": f"there is no node {request['node']!r}"}
            number, self.next = self.next, self.next + 1
            kind = "events" if kind == "qmpEvents" else kind
            self.streams[number] = FakeStream(self, number, kind, request["node"])
            return {"result": "stream", "stream": number}
        stream = self.streams.get(request.get("stream", -1))
        if stream is None:
            return None
        if kind == "window":
            stream.grant(request["bytes"])
        elif kind == "signal":
            stream.signal(request["signal"])
        elif kind == "close":
            stream.finish({"how": "closed"})
        return None

    def begin(self, number: int, request: dict) -> None:
        if request["type"] == "exec":
            self.streams[number].run(request["argv"], request["env"])

    def act(self, action: dict) -> dict:
        daemon, do = self.daemon, action["do"]
        with daemon.lock:
            daemon.acts.append(action)
        if do == "node":
            return self.node(action["node"], action["verb"])
        if do in ("add", "remove") and (action["node"] in daemon.nodes) == (do == "add"):
            return {"result": "error", "message": f"{do} {action['node']}: no"}
        names = sorted(daemon.nodes)
        with daemon.lock:
            if do == "add":
                daemon.nodes[action["node"]] = {"state": "built", "agent": False, "started": None}
            elif do == "remove":
                del daemon.nodes[action["node"]]
            elif do == "cut":
                daemon.cuts.add((action["from"], action["to"]))
            elif do == "heal":
                daemon.cuts.discard((action["from"], action["to"]))
            elif do == "isolate":
                daemon.cuts |= {(a, b) for a in names for b in names if a != b and action["node"] in (a, b)}
            elif do == "carrier":
                (daemon.lowered.discard if action["up"] else daemon.lowered.add)(action["node"])
            elif do == "healAll":
                daemon.cuts.clear()
                daemon.lowered.clear()
        threading.Thread(target=daemon.publish, daemon=True).start()
        return {"result": "ok", "message": f"{do} done"}

    def node(self, name: str, verb: str) -> dict:
        daemon = self.daemon
        if verb == "start":
            if daemon.refuse_start:
                return {"result": "error", "message": f"{name} cannot start", "hint": "it is broken"}
            work = daemon.boot
        elif verb in ("crash", "stop"):
            work = daemon.stop
        else:
            return {"result": "error", "message": f"{name} cannot {verb}"}
        threading.Thread(target=work, args=(name,), daemon=True).start()
        return {"result": "ok", "message": f"{name}: {verb}"}
