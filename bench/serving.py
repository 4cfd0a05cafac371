"""A web server for a bench: nginx where it is installed, else our own (`bench.answering`), in a process of its own.

Both listen on loopback, on a port that was free a moment before, and end with the `with` that started them.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.answering import Serving, command
from bench.reference import photos
from bench.tree import below

_NGINX = """daemon off; pid {state}/pid; error_log {state}/error.log; worker_processes 1;
worker_rlimit_nofile 65535; events {{ worker_connections 16000; }}
http {{
  types {{ image/jpeg jpg jpeg; image/png png; image/webp webp; image/gif gif; image/avif avif; }}
  log_format exchanges "$msec $request_time $status $request_uri";
  access_log {log}; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy; fastcgi_temp_path {state}/fastcgi;
  uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  server {{ {listen} {tls} root "{root}"; }}
}}
"""
_TLS = """ssl_protocols TLSv1.3; ssl_certificate {0}; ssl_certificate_key {0};
  ssl_session_tickets off; ssl_session_cache off;"""


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
def serving(
    folder: Path,
    state: Path,
    kind: str | None = None,
    *,
    addresses: Sequence[str] = ("127.0.0.1",),
    log: Path | None = None,
    certificate: Path | None = None,
    seed: int | None = None,
) -> Iterator[Server]:
    """Serve the pictures in `folder` with `kind`, or with the best there is; `state` is a folder for itself.

    `log`: a file for what was asked (`bench.exchanges`). `certificate`: a PEM file with its key, for HTTPS where
    no session can be resumed. `seed`: be as slow and broken as the web, which only our own server is.
    """
    kind = kind or ("nginx" if shutil.which("nginx") and seed is None else "own")
    folder, state = folder.resolve(), state.resolve()
    chosen = Serving(str(folder), _free_port(), list(addresses), str(log or ""), str(certificate or ""), seed)
    started = _nginx(chosen, state) if kind == "nginx" else command(chosen)
    process = subprocess.Popen(started, cwd=Path(__file__).parents[1])
    try:
        _wait_for(chosen.port, process)
        yield Server(kind, chosen.port, (process.pid, *below(process.pid)))
    finally:
        process.terminate()
        process.wait()


def _nginx(chosen: Serving, state: Path) -> list[str]:
    config, kind = state / "nginx.conf", "ssl" if chosen.certificate else ""
    listen = [f"listen {address}:{chosen.port} backlog=4096 {kind};" for address in chosen.addresses]
    user = "user root;\n" if os.getuid() == 0 else ""  # the pictures may be nobody else's to read
    written = _NGINX.format(
        state=state,
        root=chosen.folder,
        listen=" ".join(listen),
        tls=_TLS.format(chosen.certificate) if chosen.certificate else "",
        log=f"{chosen.log} exchanges" if chosen.log else "off",
    )
    config.write_text(user + written)
    return ["nginx", "-c", str(config), "-e", str(state / "error.log")]


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
