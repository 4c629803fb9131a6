"""Drives Chromium, headless, over its DevTools protocol; the standard library alone.

    with Browser() as browser:
        page = browser.open("file:///tmp/report.html", width=1000, dark=True)
        page.js("document.title")
        page.screenshot("a.png")

Chromium is looked for under CHROMIUM and the usual names; Missing is raised without it.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request


class Missing(Exception):
    """There is no browser here."""


def find():
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser",
                 "google-chrome"):
        path = name and shutil.which(name)
        if path:
            return path
    raise Missing("no chromium here")


class Socket:
    """The client side of a WebSocket (RFC 6455): text frames, no extensions."""

    def __init__(self, url):
        host, path = url.split("//", 1)[1].split("/", 1)
        name, port = host.rsplit(":", 1)
        self.socket = socket.create_connection((name, int(port)), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n"
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.held = b""
        while b"\r\n\r\n" not in self.held:
            self.held += self.socket.recv(65536)
        self.held = self.held.split(b"\r\n\r\n", 1)[1]

    def take(self, n):
        while len(self.held) < n:
            more = self.socket.recv(1 << 20)
            if not more:
                raise ConnectionError("the browser is gone")
            self.held += more
        taken, self.held = self.held[:n], self.held[n:]
        return taken

    def send(self, text):
        data = text.encode()
        size = len(data)
        head = bytes([0x81])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        self.socket.sendall(head + mask +
                            bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, second = self.take(2)
            size = second & 127
            if size == 126:
                size = int.from_bytes(self.take(2), "big")
            elif size == 127:
                size = int.from_bytes(self.take(8), "big")
            data = self.take(size)
            if first & 15 in (0, 1):
                text += data
                if first & 128:
                    return text.decode()
            elif first & 15 == 8:
                raise ConnectionError("the browser closed the connection")


class Page:
    """One page: what it said and asked for is in messages and requests."""

    def __init__(self, url):
        self.socket = Socket(url)
        self.last = 0
        self.events = []

    def call(self, method, **values):
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method,
                                     "params": values}))
        while True:
            answer = json.loads(self.socket.receive())
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def js(self, text):
        """The value of an expression; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=text, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:600])
        return answer["result"].get("value")

    def wait(self, text, seconds=20):
        """Until an expression is true: what a page does next may take a moment."""
        end = time.time() + seconds
        while not self.js(text):
            if time.time() > end:
                raise AssertionError(f"never true: {text}")
            time.sleep(0.02)

    def load(self, url, seconds=60):
        self.events.clear()
        self.call("Page.navigate", url=url)
        end = time.time() + seconds
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            if time.time() > end:
                raise TimeoutError(url)
            self.events.append(json.loads(self.socket.receive()))

    def key(self, name, code=None, shift=False):
        text = {"Enter": "\r", "Tab": ""}.get(name, "")
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38,
                 "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}
        common = {"key": name, "code": code or name,
                  "windowsVirtualKeyCode": codes.get(name, 0),
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def move(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def messages(self):
        """Console messages, exceptions and log entries, as text."""
        said = []
        for event in self.events:
            if event["method"] in ("Runtime.consoleAPICalled",
                                   "Runtime.exceptionThrown", "Log.entryAdded"):
                said.append(json.dumps(event["params"])[:500])
        return said

    def requests(self):
        """Addresses asked for that are neither the page's file nor in the page."""
        return [e["params"]["request"]["url"] for e in self.events
                if e["method"] == "Network.requestWillBeSent"
                and not e["params"]["request"]["url"].startswith(
                    ("file:", "data:", "blob:"))]

    def screenshot(self, path, whole=False, clip=None):
        values = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = (0, 0, size["width"], size["height"])
        if clip:
            values["clip"] = dict(zip(("x", "y", "width", "height"), clip), scale=1)
            values["captureBeyondViewport"] = True
        data = self.call("Page.captureScreenshot", **values)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))


class Browser:
    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="tapetum-browser.")
        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu",
             "--hide-scrollbars", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--remote-debugging-port=0",
             "--force-color-profile=srgb", f"--user-data-dir={self.home}",
             "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port = None
        end = time.time() + 60
        while self.port is None:
            if self.process.poll() is not None or time.time() > end:
                self.close()
                raise Missing("chromium does not start here")
            try:
                with open(os.path.join(self.home, "DevToolsActivePort"),
                          encoding="ascii") as file:
                    self.port = int(file.readline())
            except (OSError, ValueError):
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, url, width=1000, height=900, dark=False, scripts=True):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=60) as answer:
            target = json.load(answer)
        page = Page(target["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(domain + ".enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 500)
        page.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        page.load(url)
        return page

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
