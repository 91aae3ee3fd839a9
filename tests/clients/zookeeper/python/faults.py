#!/usr/bin/env python3
"""Runs kazoo's recipes while a test kills what they run against.

    faults.py HOST:PORT,… SESSION-SECONDS

Prints a line of JSON when all are at work, and one a moment with how far each is: their
counts must go on to rise. At the end of standard input it ends the work and prints what it
found wrong.

An answer that is lost with its connection leaves open whether the change was made: such
changes are counted as unknown and not made again, though kazoo by default makes them again.
"""
import queue
import subprocess
import sys
import threading
import time

from kazoo import exceptions
from kazoo.client import KazooState
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import ForceRetryError, KazooRetry, RetryFailedError

from common import connect, tell

ROOT = "/kazoo-faults"
TROUBLE = (exceptions.KazooException, KazooTimeoutError, RetryFailedError)


class Member:
    """A client with an ephemeral node, which must outlive all faults with its session."""

    def __init__(self, run, name):
        self.run, self.name, self.lost = run, name, 0
        again = KazooRetry(max_tries=-1, delay=0.01, max_delay=0.2)
        again.retry_exceptions = (ForceRetryError,)  # not where an answer was lost
        self.client = connect(run.hosts, timeout=run.session, command_retry=again,
                              connection_retry={"max_tries": -1, "max_delay": 0.2})
        self.client.add_listener(self.listen)
        self.id = self.client.client_id
        self.node = ROOT + "/members/" + name
        self.client.create(self.node, ephemeral=True, makepath=True)

    def listen(self, state):
        if state == KazooState.LOST:
            self.lost += 1

    def wrong(self):
        """What is wrong at the end."""
        if self.lost or self.client.client_id != self.id:
            yield "%s: its session has ended, %d times" % (self.name, self.lost)
        stat = persist(lambda: self.client.exists(self.node))
        if stat is None or stat.ephemeralOwner != self.id[0]:
            yield "%s: its ephemeral node: %s" % (self.name, stat)


def persist(call):
    """Reads again until there is an answer."""
    end, pause = time.monotonic() + 30, threading.Event()
    while True:
        try:
            return call()
        except TROUBLE:
            if time.monotonic() > end:
                raise
            pause.wait(0.05)


def caught_up(client, path):
    """Reads of what others have done may be late, as far as ZooKeeper promises, but for sync."""
    persist(lambda: client.sync(path))
    return client


class Work:
    """A recipe that several members carry out over and over."""

    members = 2

    def __init__(self, run):
        self.run, self.done, self.unknown, self.last = run, 0, 0, ""
        self.found, self.mu = [], threading.Lock()
        self.name = type(self).__name__.lower()
        self.path = ROOT + "/" + self.name
        self.all = [Member(run, "%s-%d" % (self.name, i)) for i in range(self.members)]
        self.threads = []

    def prepare(self):
        pass

    def start(self):
        self.prepare()
        for i, m in enumerate(self.all):
            t = threading.Thread(target=self.loop, args=(i, m), daemon=True)
            t.start()
            self.threads.append(t)

    def loop(self, i, m):
        pause = threading.Event()
        while not self.run.stopping.is_set():
            try:
                if self.once(i, m):
                    with self.mu:
                        self.done += 1
            except TROUBLE as e:
                with self.mu:
                    self.unknown += 1
                    self.last = repr(e)
                pause.wait(0.05)
            except Exception as e:  # the program's own, or a broken promise
                self.wrong("%s: %r" % (m.name, e))
                return

    def wrong(self, what):
        with self.mu:
            self.found.append(what)

    def finish(self):
        for t in self.threads:
            t.join(30)
            if t.is_alive():
                self.wrong("a thread never ended")
        self.judge()
        for m in self.all:
            self.found += list(m.wrong())

    def judge(self):
        pass


class Exclusive(Work):
    """Whoever holds it, holds it alone: sections never overlap, unless a session ended."""

    members = 3

    def prepare(self):
        self.holder = None

    def section(self, m):
        if self.holder is not None:
            self.wrong("%s and %s at once" % (self.holder, m.name))
        self.holder = m.name
        try:
            m.client.exists(self.path)  # takes a while
        except TROUBLE:
            pass  # it holds the lock yet: its session goes on
        if self.holder != m.name:
            self.wrong("%s while %s" % (self.holder, m.name))
        self.holder = None


class Lock(Exclusive):
    def once(self, i, m):
        lock = m.client.Lock(self.path, m.name)
        acquired = False
        try:
            acquired = lock.acquire(timeout=20)
            self.section(m)
        finally:
            release(lock, acquired)
        return True


def release(lock, acquired):
    """Gives a lock back, surely: a node that is left would stop all others."""
    def attempt():
        if lock.is_acquired:
            lock.release()
    if acquired:
        persist(attempt)
    prefix = lock.prefix  # a contender's node carries the lock's own random name
    client = lock.client

    def sweep():
        try:
            for name in client.get_children(lock.path):
                if name.startswith(prefix):
                    client.delete(lock.path + "/" + name)
        except exceptions.NoNodeError:
            pass
    if not acquired:
        persist(sweep)


class Election(Exclusive):
    def once(self, i, m):
        election = m.client.Election(self.path, m.name)
        led = []

        def lead():
            led.append(1)
            self.section(m)
        try:
            election.run(lead)
        finally:
            release(election.lock, False)
        return bool(led)


class Counter(Work):
    members = 3

    def once(self, i, m):
        counter = m.client.Counter(self.path)
        counter += 1
        return True

    def judge(self):
        value, stat = persist(lambda: caught_up(self.all[0].client, self.path).get(self.path))
        if not self.done <= int(value) <= self.done + self.unknown:
            self.wrong("%s after %d counted and %d unknown" % (value, self.done, self.unknown))
        if int(value) != stat.version:
            self.wrong("%s after %d sets" % (value, stat.version))


class Queue(Work):
    """One puts, two take: nothing twice, and nothing lost but by a taking that is unknown."""

    members = 3

    def prepare(self):
        self.put, self.put_unknown, self.taken, self.take_unknown, self.n = set(), 0, [], 0, 0

    def once(self, i, m):
        q = m.client.Queue(self.path)
        if i == 0:
            self.n += 1
            try:
                q.put(b"%d" % self.n)
                self.put.add(self.n)
                return True
            except TROUBLE:
                self.put_unknown += 1
                raise
        try:
            item = q.get()
        except TROUBLE:
            with self.mu:
                self.take_unknown += 1
            raise
        if item is None:
            return False
        with self.mu:
            self.taken.append(int(item))
        return True

    def judge(self):
        q = caught_up(self.all[0].client, self.path).Queue(self.path)
        while True:
            item = q.get()
            if item is None:
                break
            self.taken.append(int(item))
        taken = set(self.taken)
        if len(taken) != len(self.taken):
            self.wrong("%d items were taken twice" % (len(self.taken) - len(taken)))
        lost = self.put - taken
        if len(lost) > self.take_unknown:
            self.wrong("%d items lost, by %d takings unknown" % (len(lost), self.take_unknown))
        if len(taken - self.put) > self.put_unknown:
            self.wrong("%d items that nobody put" % len(taken - self.put))


class Party(Work):
    """Who joins is seen by the other, and is not when it has left."""

    members = 1

    def prepare(self):
        self.other = Member(self.run, "party-other")

    def once(self, i, m):
        party = m.client.Party(self.path, m.name)
        persist(party.join)
        seen = persist(lambda: list(caught_up(self.other.client, self.path).Party(self.path)))
        if seen != [m.name]:
            self.wrong("%s is there, seen: %s" % (m.name, seen))
        persist(party.leave)
        seen = persist(lambda: list(caught_up(self.other.client, self.path).Party(self.path)))
        if seen != []:
            self.wrong("%s has left, seen: %s" % (m.name, seen))
        return True


class Barrier(Work):
    """One waits at a barrier that the other removes; never before it is removed."""

    members = 1

    def prepare(self):
        self.other = Member(self.run, "barrier-other")

    def once(self, i, m):
        path = "%s/%d" % (self.path, self.done)
        persist(lambda: self.other.client.Barrier(path).create())
        caught_up(m.client, path)
        removed, waited = threading.Event(), queue.Queue()

        def wait():
            try:
                end, passed = time.monotonic() + 30, False
                while not passed and time.monotonic() < end:  # kazoo's watch ends with its connection
                    passed = persist(lambda: m.client.Barrier(path).wait(2))
                waited.put((passed, removed.is_set()))
            except Exception as e:
                waited.put((e, False))
        t = threading.Thread(target=wait, daemon=True)
        t.start()
        persist(lambda: self.other.client.exists(path))  # time to wait in
        removed.set()
        persist(lambda: self.other.client.Barrier(path).remove())
        got = waited.get(timeout=60)
        if got != (True, True):
            self.wrong("passed, removed: %r" % (got,))
        return True


class DoubleBarrier(Work):
    """All of three are in before one is through, and have called leave before one is out.
    kazoo's recipe does not outlive a lost answer, and waits for ever where one leaves before
    another has looked who is there: such a round is given up, and counts as unknown."""

    members = 3
    patience = 5  # seconds

    def prepare(self):
        self.round, self.given_up = 0, threading.Event()
        self.gate = threading.Barrier(3, action=self.next)

    def next(self):
        self.round += 1
        self.given_up = threading.Event()
        self.entering, self.leaving = [], []

    def once(self, i, m):
        try:
            self.gate.wait(60)
        except threading.BrokenBarrierError:
            return False
        path, given_up = "%s/%d" % (self.path, self.round), self.given_up
        entering, leaving, through = self.entering, self.leaving, queue.Queue()
        barrier = m.client.DoubleBarrier(path, 3)
        barrier._best_effort_cleanup = given_up.set  # enter and leave say nothing of a failure

        def play():
            try:
                entering.append(m.name)
                barrier.enter()
                if len(entering) != 3 and not given_up.is_set():
                    self.wrong("in with %s" % entering)
                leaving.append(m.name)
                barrier.leave()
                if len(leaving) != 3 and not given_up.is_set():
                    self.wrong("out with %s" % leaving)
                through.put(not given_up.is_set())
            except TROUBLE:
                given_up.set()
        threading.Thread(target=play, daemon=True).start()
        end = time.monotonic() + self.patience
        while not given_up.is_set():
            try:
                return through.get(timeout=0.05)
            except queue.Empty:
                if time.monotonic() > end or self.run.stopping.is_set():
                    given_up.set()
        if i == 0:
            with self.mu:
                self.unknown += 1
                self.last = "rounds given up"
        return False

    def finish(self):
        self.gate.abort()
        super().finish()


class Watches(Work):
    """DataWatch and ChildrenWatch come to what is there at the end, and never go back."""

    members = 2

    def prepare(self):
        writer, watcher = self.all
        writer.client.create(self.path, b"0", makepath=True)
        self.n, self.value, self.children = 0, -1, None
        watcher.client.DataWatch(self.path, self.see_data)
        watcher.client.ChildrenWatch(self.path, self.see_children)

    def see_data(self, data, stat):
        if data is not None:
            if int(data) < self.value:
                self.wrong("%s after %d" % (data, self.value))
            self.value = int(data)

    def see_children(self, children):
        self.children = sorted(children)

    def once(self, i, m):
        if i == 1:  # it watches
            self.run.stopping.wait(1)
            return False
        n = self.n + 1
        m.client.set(self.path, b"%d" % n)
        self.n = n
        child = self.path + "/x"
        try:
            m.client.create(child) if n % 2 else m.client.delete(child)
        except (exceptions.NodeExistsError, exceptions.NoNodeError):
            pass  # an answer before this was lost
        return True

    def judge(self):
        c, pause, end = self.all[0].client, threading.Event(), time.monotonic() + 20
        while True:
            data = int(persist(lambda: c.get(self.path))[0])
            children = persist(lambda: c.get_children(self.path))
            if (self.value, self.children) == (data, children):
                return
            if time.monotonic() > end:
                self.wrong("seen %s, %s; there is %s, %s" % (self.value, self.children, data, children))
                return
            pause.wait(0.05)


class Run:
    def __init__(self, hosts, session):
        self.hosts, self.session, self.stopping = hosts, session, threading.Event()

    def counts(self):
        return {w.name: w.done for w in self.works}

    def found(self):
        return [w.name + ": " + f for w in self.works for f in w.found]

    def play(self):
        first = connect(self.hosts)
        first.delete(ROOT, recursive=True)
        first.ensure_path(ROOT + "/members")
        self.works = [kind(self) for kind in (Lock, Election, Counter, Queue, Party, Barrier, DoubleBarrier, Watches)]
        for w in self.works:
            w.start()
        victim = subprocess.Popen([sys.executable, sys.path[0] + "/features.py", self.hosts, "--hold", ROOT + "/members/victim", str(self.session)])
        try:
            while persist(lambda: first.exists(ROOT + "/members/victim")) is None:
                self.stopping.wait(0.05)
            self.report(first, victim)
        finally:
            victim.kill()
            victim.wait()

    def report(self, first, victim):
        stop = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
        while not stop.wait(0.2):
            tell(counts=self.counts(), found=self.found())
        held = persist(lambda: first.exists(ROOT + "/members/victim")) is not None
        victim.kill()
        self.stopping.set()
        for w in self.works:
            w.finish()
        found = self.found()
        if not held:
            found.append("a living process's ephemeral node is gone")
        end, pause = time.monotonic() + 30, threading.Event()
        while persist(lambda: first.exists(ROOT + "/members/victim")) is not None:
            if time.monotonic() > end:
                found.append("a killed process's ephemeral node stays")
                break
            pause.wait(0.1)
        tell(over=True, found=found, counts=self.counts(),
             unknown={w.name: "%d, %s" % (w.unknown, w.last) for w in self.works if w.unknown})


Run(sys.argv[1], float(sys.argv[2])).play()
