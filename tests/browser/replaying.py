"""The replay pages of a running proxy in a browser, and what there is to see."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from playwright.sync_api import Page

from tests.indexed import wait_for
from tests.proxy import Proxy
from tests.replay.visiting import code_of
from thumbseal.events import DAY_MS

DAY: Final = DAY_MS // 1000


def enter(page: Page, proxy: Proxy, path: str = "", url: str = "") -> None:
    """Log in once the index has all, and go to a page below ``/replay``; ``url`` is where the
    browser finds the server, if not directly."""
    wait_for(proxy.settings.server.log_path, lambda: True)
    base = url or proxy.url
    page.goto(f"{base}/replay/login")
    page.get_by_label("Login code").fill(code_of(proxy))
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{base}/replay")
    if path:
        page.goto(f"{base}/replay/{path}")


class Line:
    """A line to a server that a test cuts: connections die without a word, and new ones are
    refused until it is mended."""

    def __init__(self, listening: socket.socket, port: int) -> None:
        self._listening = listening
        self._port = port
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def run(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near, _ = self._listening.accept()
                with self._lock:
                    if self._is_cut:
                        near.close()
                        continue
                    try:
                        far = socket.create_connection(("127.0.0.1", self._port))
                    except ConnectionRefusedError:
                        near.close()
                        continue
                    self._ends |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        with self._lock:
            self._ends -= {one, other}
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def line_to(port: int) -> Iterator[Line]:
    """A line to whoever listens on a port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    line = Line(listening, port)
    thread = threading.Thread(target=line.run, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.close()
        thread.join()
