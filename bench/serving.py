"""A web server of the bench's own: nginx where it is installed, else a small loop in a process of its own.

Both listen on loopback, on a port that was free a moment before, and end with the `with` that started them.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bench.reference import photos
from bench.tree import below

_NGINX = """daemon off; pid {state}/pid; error_log {state}/error.log; worker_processes 1;
worker_rlimit_nofile 65535; events {{ worker_connections 16000; }}
http {{
  types {{ image/jpeg jpg jpeg; image/png png; image/webp webp; image/gif gif; image/avif avif; }}
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy; fastcgi_temp_path {state}/fastcgi;
  uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; root "{root}"; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    kind: str  # "nginx" or "own"
    port: int
    pids: tuple[int, ...]

    def urls(self, folder: Path, count: int) -> list[str]:
        """`count` different URLs, taking the pictures in turn."""
        names = [path.name for path in photos(folder)]
        return [f"http://127.0.0.1:{self.port}/{names[i % len(names)]}?i={i}" for i in range(count)]


@contextmanager
def serving(folder: Path, state: Path, kind: str | None = None) -> Iterator[Server]:
    """Serve the pictures in `folder` with `kind`, or with the best there is; `state` is a folder for itself."""
    kind = kind or ("nginx" if shutil.which("nginx") else "own")
    port = _free_port()
    if kind == "nginx":
        config = state / "nginx.conf"
        user = "user root;\n" if os.getuid() == 0 else ""  # the pictures may be nobody else's to read
        config.write_text(user + _NGINX.format(state=state, port=port, root=folder.resolve()))
        command = ["nginx", "-c", str(config), "-e", str(state / "error.log")]
    else:
        command = [sys.executable, "-m", "bench.serving", str(folder), str(port)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        _wait_for(port, process)
        yield Server(kind, port, (process.pid, *below(process.pid)))
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"the server does not answer: {process.args}")


class _Answers(asyncio.Protocol):
    """HTTP/1.1 as far as a GET of a known path goes; requests come one after another on a connection."""

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers, self._unread = answers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1].partition(b"?")[0]
            self._transport.write(self._answers.get(path, b"HTTP/1.1 404 -\r\nContent-Length: 0\r\n\r\n"))


async def _serve(folder: Path, port: int) -> None:
    answers = {f"/{path.name}".encode(): _answer(path) for path in photos(folder)}
    server = await asyncio.get_running_loop().create_server(
        lambda: _Answers(answers), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def _answer(path: Path) -> bytes:
    body = path.read_bytes()
    kind = path.suffix.lower().removeprefix(".").replace("jpg", "jpeg")
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/%s\r\nContent-Length: %d\r\n\r\n%s" % (
        kind.encode(),
        len(body),
        body,
    )


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
