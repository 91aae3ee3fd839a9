#!/usr/bin/env python3
"""Runs kazoo's calls and recipes against ZooKeeper, or what speaks its protocol.

    features.py HOST:PORT[,…] [FEATURE…]

The first line says the client's version; then comes a line a feature, with its result: ok,
refused (the server does not serve this, and says so), differs (from ZooKeeper, as is known)
or failed, and why.
"""
import queue
import signal
import subprocess
import sys
import threading

import kazoo.version
from kazoo import exceptions
from kazoo.client import KazooState
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache
from kazoo.security import make_digest_acl

from common import PATIENCE, SESSION, Threads, connect, equal, eventually, raises, tell, wait

FEATURES = []


def feature(f):
    FEATURES.append(f)
    return f


class Differs(Exception):
    """It is not as with ZooKeeper, in a way that the page names."""


class Place:
    """A directory of one feature, and the clients that it opened."""

    def __init__(self, hosts, name):
        self.hosts, self.clients = hosts, []
        self.root = "/kazoo-features/" + name
        c = self.client()
        c.delete(self.root, recursive=True)
        c.ensure_path(self.root)

    def client(self, **options):
        c = connect(self.hosts, **options)
        self.clients.append(c)
        return c

    def path(self, *names):
        return "/".join((self.root,) + names)

    def close(self):
        for c in self.clients:
            c.stop()
            c.close()


@feature
def connection(p):
    c = p.client()
    equal(c.state, KazooState.CONNECTED)
    equal(c.client_id[0] != 0, True)
    equal(c.exists("/") is not None, True)


@feature
def create_get_set_delete(p):
    c = p.client()
    equal(c.create(p.path("a"), b"one"), p.path("a"))
    raises(exceptions.NodeExistsError, c.create, p.path("a"))
    raises(exceptions.NoNodeError, c.create, p.path("no", "a"))
    value, stat = c.get(p.path("a"))
    equal((value, stat.version, stat.numChildren, stat.dataLength, stat.ephemeralOwner), (b"one", 0, 0, 3, 0))
    equal(c.set(p.path("a"), b"").version, 1)
    equal(c.get(p.path("a"))[0], b"")
    raises(exceptions.NoNodeError, c.get, p.path("b"))
    raises(exceptions.NoNodeError, c.set, p.path("b"), b"")
    raises(exceptions.NoNodeError, c.delete, p.path("b"))
    c.create(p.path("a", "child"))
    raises(exceptions.NotEmptyError, c.delete, p.path("a"))
    c.delete(p.path("a", "child"))
    c.delete(p.path("a"))
    equal(c.exists(p.path("a")), None)
    path, stat = c.create(p.path("s"), b"v", include_data=True)
    equal((path, stat.dataLength), (p.path("s"), 1))


@feature
def versions(p):
    c = p.client()
    c.create(p.path("a"))
    equal(c.set(p.path("a"), b"1", version=0).version, 1)
    raises(exceptions.BadVersionError, c.set, p.path("a"), b"2", version=0)
    raises(exceptions.BadVersionError, c.delete, p.path("a"), version=0)
    c.delete(p.path("a"), version=1)


@feature
def stat_of_a_node(p):
    c = p.client()
    c.create(p.path("a"))
    before = c.exists(p.path("a"))
    c.create(p.path("a", "x"))
    c.set(p.path("a"), b"v")
    after = c.exists(p.path("a"))
    equal((after.numChildren, after.cversion, after.version), (1, before.cversion + 1, 1))
    equal(after.czxid, before.czxid)
    equal(after.mzxid > before.mzxid and after.pzxid != before.pzxid, True)
    equal(after.ctime, before.ctime)
    equal(after.mtime >= before.mtime, True)
    c.delete(p.path("a", "x"))
    equal(c.exists(p.path("a")).cversion, before.cversion + 2)


@feature
def one_order_of_zxids(p):
    c = p.client()
    zxids = []
    for i in range(10):
        c.create(p.path("d%d" % i, "x"), makepath=True)
        zxids += [c.exists(p.path("d%d" % i)).czxid, c.exists(p.path("d%d" % i, "x")).czxid]
    if zxids != sorted(zxids):
        raise Differs("zxids of different directories don't tell what was first")


@feature
def create_makepath(p):
    c = p.client()
    c.create(p.path("a", "b", "c"), b"deep", makepath=True)
    equal(c.get(p.path("a", "b", "c"))[0], b"deep")


@feature
def create_sequence(p):
    c = p.client()
    names = [c.create(p.path("n-"), sequence=True) for _ in range(3)]
    equal([n[-10:] for n in names], ["%010d" % int(n[-10:]) for n in names])
    equal(names, sorted(set(names)))
    c.delete(names[2])
    equal(c.create(p.path("n-"), sequence=True) > names[2], True)


@feature
def create_ephemeral(p):
    a, b = p.client(), p.client()
    a.create(p.path("e"), ephemeral=True)
    equal(b.exists(p.path("e")).ephemeralOwner, a.client_id[0])
    raises(exceptions.NoChildrenForEphemeralsError, a.create, p.path("e", "x"))
    gone = threading.Event()
    b.exists(p.path("e"), watch=lambda e: e.type == EventType.DELETED and gone.set())
    name = a.create(p.path("s-"), ephemeral=True, sequence=True)
    equal(sorted(b.get_children(p.path())), sorted(["e", name.rsplit("/", 1)[1]]))
    a.stop()
    wait(gone, "the end of an ephemeral node")
    equal(b.get_children(p.path()), [])


@feature
def ephemeral_of_a_killed_client(p):
    c = p.client()
    gone, made = threading.Event(), threading.Event()

    def seen(e):
        (made if e.type == EventType.CREATED else gone).set()
    c.exists(p.path("e"), watch=seen)
    child = subprocess.Popen([sys.executable, __file__, p.hosts, "--hold", p.path("e"), str(SESSION)])
    try:
        wait(made, "an ephemeral node of another process")
        c.exists(p.path("e"), watch=seen)
    finally:
        child.kill()
        child.wait()
    wait(gone, "the end of the session of a killed process")


@feature
def get_children(p):
    c = p.client()
    names = ["n%03d" % i for i in range(300)]
    for r in [c.create_async(p.path(n)) for n in names]:
        r.get(PATIENCE)
    equal(sorted(c.get_children(p.path())), names)
    children, stat = c.get_children(p.path(), include_data=True)
    equal((len(children), stat.numChildren), (300, 300))
    raises(exceptions.NoNodeError, c.get_children, p.path("no"))


@feature
def delete_recursive(p):
    c = p.client()
    for n in ("a/b/c", "a/b/d", "a/e"):
        c.ensure_path(p.path(n))
    c.delete(p.path("a"), recursive=True)
    equal(c.exists(p.path("a")), None)


@feature
def large_values(p):
    c = p.client()
    value = bytes(range(256)) * 2048  # 512 KiB, half of what ZooKeeper takes
    c.create(p.path("a"), value)
    equal(c.get(p.path("a"))[0] == value, True)


@feature
def transaction(p):
    c = p.client()
    c.create(p.path("old"), b"1")
    t = c.transaction()
    t.create(p.path("new"), b"2")
    t.check(p.path("old"), 0)
    t.set_data(p.path("old"), b"3")
    t.create(p.path("s-"), sequence=True)
    t.delete(p.path("new"))
    got = t.commit()
    equal((got[0], got[2].version, got[3].startswith(p.path("s-"))), (p.path("new"), 1, True))
    t = c.transaction()
    t.create(p.path("x"))
    t.check(p.path("old"), 7)
    t.create(p.path("y"))
    got = t.commit()
    equal([type(e) for e in got], [exceptions.RolledBackError, exceptions.BadVersionError, exceptions.RuntimeInconsistency])
    equal(c.exists(p.path("x")), None)


@feature
def transaction_across_parents(p):
    c = p.client()
    c.create(p.path("a"))
    c.create(p.path("b"))
    t = c.transaction()
    t.create(p.path("a", "x"))
    t.create(p.path("b", "y"))
    got = t.commit()
    for e in got:
        if isinstance(e, Exception):
            equal((c.exists(p.path("a", "x")), c.exists(p.path("b", "y"))), (None, None))
            raise e
    equal((c.exists(p.path("a", "x")) is None, c.exists(p.path("b", "y")) is None), (False, False))


@feature
def watches(p):
    a, b = p.client(), p.client()
    seen = queue.Queue()

    def told():
        e = seen.get(timeout=PATIENCE)
        return e.type, e.path
    equal(a.exists(p.path("n"), watch=seen.put), None)
    b.create(p.path("n"))
    equal(told(), (EventType.CREATED, p.path("n")))
    a.get(p.path("n"), watch=seen.put)
    b.set(p.path("n"), b"1")
    equal(told(), (EventType.CHANGED, p.path("n")))
    b.set(p.path("n"), b"2")  # nobody asked again: once
    a.get_children(p.path("n"), watch=seen.put)
    b.create(p.path("n", "c"))
    equal(told(), (EventType.CHILD, p.path("n")))
    a.get(p.path("n", "c"), watch=seen.put)
    b.delete(p.path("n", "c"))
    equal(told(), (EventType.DELETED, p.path("n", "c")))
    a.get_children(p.path("n"), watch=seen.put)
    b.delete(p.path("n"))
    equal(told(), (EventType.DELETED, p.path("n")))
    equal(seen.empty(), True)


@feature
def data_watch(p):
    a, b = p.client(), p.client()
    seen = queue.Queue()
    a.DataWatch(p.path("n"), lambda data, stat, event: seen.put(data))
    equal(seen.get(timeout=PATIENCE), None)
    b.create(p.path("n"), b"0")
    equal(seen.get(timeout=PATIENCE), b"0")
    for i in range(1, 20):
        b.set(p.path("n"), b"%d" % i)
        equal(seen.get(timeout=PATIENCE), b"%d" % i)
    b.delete(p.path("n"))
    equal(seen.get(timeout=PATIENCE), None)


@feature
def children_watch(p):
    a, b = p.client(), p.client()
    seen = queue.Queue()
    a.ChildrenWatch(p.path(), lambda children: seen.put(sorted(children)))
    equal(seen.get(timeout=PATIENCE), [])
    b.create(p.path("a"))
    equal(seen.get(timeout=PATIENCE), ["a"])
    b.create(p.path("b"), ephemeral=True)
    equal(seen.get(timeout=PATIENCE), ["a", "b"])
    b.stop()
    equal(seen.get(timeout=PATIENCE), ["a"])


@feature
def tree_cache(p):
    a, b = p.client(), p.client()
    b.create(p.path("a", "b"), b"1", makepath=True)
    cache = TreeCache(a, p.path())
    cache.start()
    try:
        eventually("what there was", lambda: cache.get_data(p.path("a", "b")) and cache.get_data(p.path("a", "b")).data == b"1")
        b.set(p.path("a", "b"), b"2")
        b.create(p.path("a", "c"), b"3")
        eventually("what was changed", lambda: cache.get_data(p.path("a", "b")).data == b"2")
        eventually("what was created", lambda: cache.get_children(p.path("a")) == {"b", "c"})
    finally:
        cache.close()


def count_with(p, lock_of):
    """Has two clients raise a counter in memory, each by read and write; returns their misses."""
    held, misses, state, threads = [], [], {"n": 0}, Threads()

    def contend(c):
        lock = lock_of(c)
        for _ in range(15):
            with lock:
                held.append(c)
                n = state["n"]
                c.exists(p.path())  # time for the other
                if len(held) != 1:
                    misses.append(n)
                state["n"] = n + 1
                held.pop()
    for _ in range(2):
        threads.go(contend, p.client())
    threads.join()
    equal((state["n"], misses), (30, []))


@feature
def recipe_lock(p):
    count_with(p, lambda c: c.Lock(p.path("lock")))
    a, b = p.client(), p.client()
    lock = a.Lock(p.path("lock"), "first")
    lock.acquire(timeout=PATIENCE)
    other = b.Lock(p.path("lock"), "second")
    equal(other.acquire(blocking=False), False)
    threads = Threads()
    threads.go(other.acquire, True, PATIENCE)
    eventually("both in line", lambda: lock.contenders() == ["first", "second"])
    a.stop()  # the holder's session ends
    threads.join()
    equal(other.is_acquired, True)
    other.release()


@feature
def recipe_read_write_lock(p):
    a, b = p.client(), p.client()
    r1, r2, w = a.ReadLock(p.path("rw")), b.ReadLock(p.path("rw")), b.WriteLock(p.path("rw"))
    r1.acquire(timeout=PATIENCE)
    r2.acquire(timeout=PATIENCE)
    equal(w.acquire(blocking=False), False)
    r1.release()
    r2.release()
    equal(w.acquire(timeout=PATIENCE), True)
    equal(r1.acquire(blocking=False), False)
    w.release()


@feature
def recipe_semaphore(p):
    clients = [p.client() for _ in range(3)]
    semaphores = [c.Semaphore(p.path("semaphore"), max_leases=2) for c in clients]
    equal([s.acquire(blocking=False) for s in semaphores], [True, True, False])
    semaphores[0].release()
    equal(semaphores[2].acquire(timeout=PATIENCE), True)


@feature
def recipe_election(p):
    a, b = p.client(), p.client()
    leads, led, threads = queue.Queue(), threading.Event(), Threads()

    def lead(name, wait_for=None):
        leads.put(name)
        if wait_for:
            wait(wait_for, "the leader's end")
    threads.go(a.Election(p.path("e"), "a").run, lead, "a", led)
    equal(leads.get(timeout=PATIENCE), "a")
    second = b.Election(p.path("e"), "b")
    threads.go(second.run, lead, "b")
    eventually("both stand", lambda: second.contenders() == ["a", "b"])
    equal(leads.empty(), True)
    led.set()
    equal(leads.get(timeout=PATIENCE), "b")
    threads.join()


@feature
def recipe_barrier(p):
    a, b = p.client(), p.client()
    barrier, passed, threads = a.Barrier(p.path("barrier")), threading.Event(), Threads()
    barrier.create()

    def passes():
        equal(b.Barrier(p.path("barrier")).wait(PATIENCE), True)
        passed.set()
    threads.go(passes)
    equal(b.Barrier(p.path("barrier")).wait(0.2), False)
    equal(passed.is_set(), False)
    equal(barrier.remove(), True)
    threads.join()
    equal(passed.is_set(), True)


@feature
def recipe_double_barrier(p):
    inside, threads = [], Threads()

    def work(c):
        barrier = c.DoubleBarrier(p.path("barrier"), 3)
        barrier.enter()
        inside.append(c)
        eventually("all are in", lambda: len(inside) == 3)
        barrier.leave()
        equal(len(inside), 3)
    for _ in range(3):
        threads.go(work, p.client())
    threads.join()


@feature
def recipe_counter(p):
    threads = Threads()

    def count(c):
        counter = c.Counter(p.path("counter"))
        for _ in range(15):
            counter += 1
    clients = [p.client(), p.client()]
    for c in clients:
        threads.go(count, c)
    threads.join()
    equal(clients[0].Counter(p.path("counter")).value, 30)


@feature
def recipe_party(p):
    a, b = p.client(), p.client()
    one, two = a.Party(p.path("party"), "a"), b.Party(p.path("party"), "b")
    one.join()
    two.join()
    equal(len(one), 2)
    equal("a" in set(one), True)
    b.stop()
    eventually("one has left", lambda: list(one) == ["a"])
    one.leave()
    equal(len(one), 0)


@feature
def recipe_queue(p):
    a, threads, taken = p.client(), Threads(), []
    q = a.Queue(p.path("queue"))
    for i in range(40):
        q.put(b"%d" % i, priority=50 if i == 39 else 100)
    equal((len(q), q.get()), (40, b"39"))

    def take(c):
        mine = c.Queue(p.path("queue"))
        while True:
            item = mine.get()
            if item is None:
                return
            taken.append(int(item))
    for _ in range(2):
        threads.go(take, p.client())
    threads.join()
    equal(sorted(taken), list(range(39)))


@feature
def recipe_locking_queue(p):
    a, b = p.client(), p.client()
    one, two = a.LockingQueue(p.path("queue")), b.LockingQueue(p.path("queue"))
    one.put(b"0")
    one.put_all([b"1", b"2"])
    equal((one.get(PATIENCE), two.get(PATIENCE)), (b"0", b"1"))
    equal((one.consume(), two.release()), (True, True))
    equal([two.get(PATIENCE), two.consume(), two.get(PATIENCE), two.consume()], [b"1", True, b"2", True])
    equal(len(one), 0)


@feature
def recipe_lease(p):
    import datetime
    a, b = p.client(), p.client()
    hour = datetime.timedelta(hours=1)
    equal(bool(a.NonBlockingLease(p.path("lease"), hour, identifier="a")), True)
    equal(bool(b.NonBlockingLease(p.path("lease"), hour, identifier="b")), False)
    equal(bool(a.NonBlockingLease(p.path("lease"), hour, identifier="a")), True)


@feature
def recipe_set_partitioner(p):
    clients, threads, shares = [p.client(), p.client()], Threads(), {}

    def share(i, c):
        s = c.SetPartitioner(p.path("set"), set=tuple(range(8)), time_boundary=0.2, identifier=str(i))
        while sum(map(len, shares.values())) != 8:
            if s.failed:
                raise AssertionError("lost its membership")
            if s.release:
                shares.pop(i, None)
                s.release_set()
            elif s.acquired:
                shares[i] = list(s)
                c.exists(p.path())
            else:
                s.wait_for_acquire(1)
    for i, c in enumerate(clients):
        threads.go(share, i, c)
    threads.join()
    equal(sorted(shares[0] + shares[1]), list(range(8)))


@feature
def reconnect_keeps_the_session(p):
    c, other = p.client(), p.client()
    c.create(p.path("e"), ephemeral=True)
    before, states = c.client_id, queue.Queue()
    gone = threading.Event()
    other.exists(p.path("e"), watch=lambda e: gone.set())
    c.add_listener(states.put)
    c._call(_CONNECTION_DROP, c.handler.async_result())
    equal(states.get(timeout=PATIENCE), KazooState.SUSPENDED)
    equal(states.get(timeout=PATIENCE), KazooState.CONNECTED)
    equal(c.client_id, before)
    equal(c.exists(p.path("e")).ephemeralOwner, before[0])
    equal(gone.is_set(), False)


@feature
def session_taken_over(p):
    c = p.client()
    c.create(p.path("e"), ephemeral=True)
    session, moved = c.client_id, threading.Event()
    c.add_listener(lambda state: moved.set())
    heir = p.client(client_id=session)
    equal(heir.client_id, session)
    equal(heir.exists(p.path("e")).ephemeralOwner, session[0])
    wait(moved, "the end of the first connection")


@feature
def session_expires(p):
    c = p.client()
    c.create(p.path("e"), ephemeral=True)
    lost, back = threading.Event(), threading.Event()

    def listen(state):
        if state == KazooState.LOST:
            lost.set()
        elif state == KazooState.CONNECTED and lost.is_set():
            back.set()
    c.add_listener(listen)
    old = c.client_id
    p.client(client_id=old).stop()  # closes the session of both
    wait(lost, "the news that the session has ended")
    wait(back, "a new session")
    equal(c.client_id[0] != old[0], True)
    equal(c.exists(p.path("e")), None)


@feature
def wrong_password_of_a_session(p):
    c = p.client()
    session = c.client_id
    forged = p.client(client_id=(session[0], b"0" * 16))
    eventually("kazoo asks for a new session", lambda: forged.client_id and forged.client_id[0] != session[0])
    eventually("the session goes on with who knows its password", lambda: c.client_id == session)


@feature
def sync(p):
    c = p.client()
    equal(c.sync(p.path()), p.path())


@feature
def acl_of_everyone(p):
    c = p.client()
    acls, stat = c.get_acls(p.path())
    equal([(a.perms, a.id.scheme, a.id.id) for a in acls], [(31, "world", "anyone")])


@feature
def acl_of_some(p):
    a, b = p.client(), p.client()
    a.create(p.path("mine"), b"v", acl=[make_digest_acl("me", "secret", all=True)])
    raises(exceptions.NoAuthError, b.get, p.path("mine"))
    b.add_auth("digest", "me:secret")
    equal(b.get(p.path("mine"))[0], b"v")
    b.delete(p.path("mine"))


@feature
def four_letter_words(p):
    c = p.client()
    equal(c.command(b"ruok"), "imok")
    equal("Mode: " in c.command(b"srvr"), True)
    equal("Mode: " in c.command(b"stat"), True)
    equal("zk_version" in c.command(b"mntr"), True)


@feature
def server_version(p):
    c = p.client()
    equal(c.server_version() >= (3, 4), True)


def run(hosts, f):
    def late(*_):
        raise AssertionError("took longer than %d s" % (2 * PATIENCE))
    signal.signal(signal.SIGALRM, late)
    signal.alarm(2 * PATIENCE)
    place = None
    try:
        place = Place(hosts, f.__name__)
        f(place)
        return "ok", ""
    except (exceptions.UnimplementedError, exceptions.InvalidACLError) as e:
        return "refused", repr(e)
    except Differs as e:
        return "differs", str(e)
    except Exception as e:
        return "failed", "%s: %s" % (type(e).__name__, e)
    finally:
        signal.alarm(0)
        if place:
            place.close()


def main(hosts, *args):
    if args and args[0] == "--hold":  # an ephemeral node, until this process is killed
        c = connect(hosts, timeout=float(args[2]))
        c.create(args[1], ephemeral=True)
        threading.Event().wait()
    tell(client="kazoo " + kazoo.version.__version__)
    for f in FEATURES:
        if not args or f.__name__ in args:
            result, why = run(hosts, f)
            tell(feature=f.__name__, result=result, why=why)


main(*sys.argv[1:])
