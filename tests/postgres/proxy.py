"""A proxy in front of a PostgreSQL server: speaks TLS, changes what the server says, falls silent, cuts connections."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import struct
import threading

#: Certificate of localhost, signed by itself, and its key. For tests only.
CERTIFICATE = pathlib.Path(__file__).with_name("localhost.pem")

_SSL_REQUEST = 80877103


class Proxy:
    """Passes connections on to a server on this machine.

    Args:
        port: of the server.
        tls: whether clients may ask for TLS; what goes on to the server is plain.
        changes: bytes that the server says, and what of the same length clients get instead.
    """

    def __init__(self, port: int, *, tls: bool = False, changes: dict[bytes, bytes] | None = None) -> None:
        self._target = port
        self._changes = changes or {}
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE)
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._spawn(self._accept)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="test-proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._keep(client)
            self._spawn(self._serve, client)

    def _keep(self, s: socket.socket) -> None:
        with self._lock:
            self._sockets.add(s)

    def _serve(self, client: socket.socket) -> None:
        try:
            first = client.recv(8, socket.MSG_PEEK)
            if len(first) == 8 and struct.unpack(">ii", first)[1] == _SSL_REQUEST:
                client.recv(8)
                client.sendall(b"S" if self._tls else b"N")
                if self._tls:
                    client = self._tls.wrap_socket(client, server_side=True)
                    self._keep(client)
            server = socket.create_connection(("127.0.0.1", self._target))
            self._keep(server)
        except OSError:
            self._shut(client)
            return
        self._spawn(self._pump, server, client, self._changes)
        self._pump(client, server, {})

    def _pump(self, source: socket.socket, sink: socket.socket, changes: dict[bytes, bytes]) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                self._flowing.wait()
                for old, new in changes.items():
                    data = data.replace(old, new)
                sink.sendall(data)
        self._shut(source)
        self._shut(sink)

    def _shut(self, s: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(s)
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_RDWR)
        s.close()

    def silence(self) -> None:
        """Pass nothing on any more; connections stay open."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            sockets = list(self._sockets)
        for s in sockets:
            self._shut(s)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
