# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bad network on loopback: each connection brings so many bytes and then stands still, until the test says what becomes of it."""
import os
import queue
import selectors
import socket
import struct
import threading

BLOCK = 65536
ANSWERED = 65536    # an answer to more than this is one to a body


class Link:
    """One connection of the browser, and the one of ours to the server for it."""

    def __init__(self, proxy, near):
        self.proxy, self.near, self.passed, self.stands = proxy, near, 0, False
        self.far = socket.create_connection(("127.0.0.1", proxy.to), 60)
        for end, fn in ((self.near, self.up), (self.far, self.down)):
            end.settimeout(60)
            proxy.selector.register(end, selectors.EVENT_READ, fn)

    def leave(self, end, reset):
        """One end is closed."""
        try:
            self.proxy.selector.unregister(end)
        except (KeyError, ValueError):
            pass
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()

    def close(self, reset=False):
        self.stands = False
        self.leave(self.near, reset)
        self.leave(self.far, reset)
        self.proxy.links.discard(self)

    def up(self):
        limit = self.proxy.limit
        data = self.near.recv(BLOCK if limit is None else min(BLOCK, limit - self.passed))
        if not data:
            return self.close()
        self.far.sendall(data)
        self.passed += len(data)
        self.proxy.passed += len(data)
        if limit is not None and self.passed >= limit:
            self.stands = True
            self.proxy.selector.unregister(self.near)
        return None

    def down(self):
        data = self.far.recv(BLOCK)
        if data and self.proxy.lost_answers and self.passed > ANSWERED:
            self.proxy.lost_answers -= 1
            return self.close(reset=True)
        if not data:
            return self.close()
        return self.near.sendall(data)

    def drain(self):
        """What still comes is thrown away; the server sees the end when the browser has closed."""
        if not self.near.recv(BLOCK):
            self.close()

    # What a link that stands is told:

    def reset(self):
        self.close(reset=True)

    def half(self):
        """The browser sees a reset; the server waits for bytes that never come."""
        self.leave(self.near, True)
        self.proxy.halves.append(self.far)
        self.proxy.selector.unregister(self.far)
        self.proxy.links.discard(self)

    def end(self):
        """As one that closes in good order."""
        self.close()

    def go(self):
        """On as if nothing had been."""
        self.stands = False
        self.proxy.selector.register(self.near, selectors.EVENT_READ, self.up)

    def swallow(self):
        self.stands = False
        self.proxy.selector.register(self.near, selectors.EVENT_READ, self.drain)


class Proxy:
    """with Proxy(port of the server, limit of a connection) as p: p.url; p.standing(); p.tell("reset")"""

    def __init__(self, to, limit=None):
        self.to, self.limit, self.passed, self.lost_answers = to, limit, 0, 0
        self.links, self.halves, self.orders, self.running = set(), [], queue.Queue(), True
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.wake_in, self.wake_out = os.pipe()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.wake_in, selectors.EVENT_READ, self.obey)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while self.running:
            for key, _ in self.selector.select():
                if self.selector.get_map().get(key.fd) is not key:
                    continue                # closed by one before
                try:
                    key.data()
                except OSError:             # either side has gone
                    link = getattr(key.data, "__self__", None)
                    if isinstance(link, Link):
                        link.close(reset=True)

    def accept(self):
        near, _ = self.listener.accept()
        try:
            self.links.add(Link(self, near))
        except OSError:                     # no server now
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()

    def obey(self):
        os.read(self.wake_in, 1)
        fn, done = self.orders.get()
        fn()
        done.set()

    def do(self, fn):
        done = threading.Event()
        self.orders.put((fn, done))
        os.write(self.wake_out, b"x")
        assert done.wait(60), "the proxy does not obey"

    def standing(self):
        return sum(link.stands for link in list(self.links))

    def tell(self, order, limit=None):
        """To each link that stands. The limit holds from here on; None: no limit."""
        def fn():
            self.limit = limit
            for link in [x for x in self.links if x.stands]:
                getattr(link, order)()
        self.do(fn)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        def fn():
            self.running = False
            for link in list(self.links):
                link.close()
        self.do(fn)
        self.thread.join(60)
        for end in self.halves:
            end.close()
        self.listener.close()
        self.selector.close()
        os.close(self.wake_in)
        os.close(self.wake_out)
