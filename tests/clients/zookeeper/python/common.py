"""What the programs here share: clients, waits with an end, and results as lines of JSON."""
import json
import logging
import threading
import time

from kazoo.client import KazooClient

logging.basicConfig(level=logging.CRITICAL)

PATIENCE = 20  # seconds that anything may take that must happen
SESSION = 4    # seconds without a word after which a session ends


def tell(**line):
    print(json.dumps(line), flush=True)


def connect(hosts, **options):
    c = KazooClient(hosts=hosts, timeout=options.pop("timeout", SESSION), **options)
    c.start(timeout=PATIENCE)
    return c


def wait(event, what):
    """Waits for a threading.Event, or the like."""
    if not event.wait(PATIENCE):
        raise AssertionError("never came: " + what)


def eventually(what, holds):
    """Waits until holds() is true."""
    pause, end = threading.Event(), time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("never came: " + what)
        pause.wait(0.01)


def equal(got, want):
    if got != want:
        raise AssertionError("%r, want %r" % (got, want))


def raises(error, call, *args, **named):
    try:
        got = call(*args, **named)
    except error:
        return
    raise AssertionError("%s%r returned %r, want %s" % (getattr(call, "__name__", call), args, got, error.__name__))


class Threads:
    """Threads whose errors are not lost."""

    def __init__(self):
        self.threads, self.errors = [], []

    def go(self, f, *args):
        def run():
            try:
                f(*args)
            except BaseException as e:  # reported by join
                self.errors.append(e)
        t = threading.Thread(target=run, daemon=True)
        t.start()
        self.threads.append(t)

    def join(self):
        end = time.monotonic() + PATIENCE
        for t in self.threads:
            t.join(max(0, end - time.monotonic()))
        if self.errors:
            raise self.errors[0]
        if any(t.is_alive() for t in self.threads):
            raise AssertionError("a thread never ended")
