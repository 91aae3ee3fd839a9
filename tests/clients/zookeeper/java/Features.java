import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;

/** Tries Curator's recipes, each by two clients, and prints a line of JSON for each. */
public class Features {
    static final int PATIENCE = 20; // seconds, for what should come soon

    interface Feature {
        void run() throws Exception;
    }

    static String addr;
    static CuratorFramework one, two;
    static final ExecutorService aside = Executors.newCachedThreadPool(r -> {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    });

    static CuratorFramework client() throws Exception {
        CuratorFramework c = CuratorFrameworkFactory.newClient(addr, 6000, 15000, new RetryOneTime(100));
        c.start();
        check(c.blockUntilConnected(PATIENCE, TimeUnit.SECONDS), "no connection");
        return c;
    }

    static void check(boolean holds, String why) {
        if (!holds) {
            throw new IllegalStateException(why);
        }
    }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
        while (!holds.call()) {
            check(System.nanoTime() < end, what + ": not within " + PATIENCE + " s");
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    static <T> T soon(Future<T> f) throws Exception {
        return f.get(PATIENCE, TimeUnit.SECONDS);
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] b) {
        return new String(b, StandardCharsets.UTF_8);
    }

    static void nodes() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/nodes/a/b", bytes("v"));
        check(text(two.getData().forPath("/curator/nodes/a/b")).equals("v"), "another value");
        two.setData().withVersion(0).forPath("/curator/nodes/a/b", bytes("w"));
        try {
            one.setData().withVersion(0).forPath("/curator/nodes/a/b", bytes("x"));
            check(false, "an old version was taken");
        } catch (KeeperException.BadVersionException expected) {
        }
        one.create().orSetData().forPath("/curator/nodes/a/b", bytes("y"));
        check(one.getChildren().forPath("/curator/nodes").equals(List.of("a")), "other children");
        one.delete().deletingChildrenIfNeeded().forPath("/curator/nodes");
        check(two.checkExists().forPath("/curator/nodes") == null, "still there");
    }

    static void protectedNode() throws Exception {
        String path = one.create().creatingParentContainersIfNeeded().withProtection()
            .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/curator/protected/n-", bytes("v"));
        check(path.contains("_c_") && path.endsWith("n-0000000000"), path);
        check(two.checkExists().forPath(path).getEphemeralOwner() == one.getZookeeperClient().getZooKeeper().getSessionId(), "another's");
    }

    static void background() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        one.create().creatingParentsIfNeeded().inBackground((c, e) -> done.countDown()).forPath("/curator/background/n", bytes("v"));
        check(done.await(PATIENCE, TimeUnit.SECONDS), "no callback");
        check(text(two.getData().forPath("/curator/background/n")).equals("v"), "another value");
    }

    static void transaction() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/tx");
        one.transaction().forOperations(one.transactionOp().create().forPath("/curator/tx/a", bytes("1")),
            one.transactionOp().create().forPath("/curator/tx/b", bytes("2")),
            one.transactionOp().setData().forPath("/curator/tx/a", bytes("3")));
        check(text(two.getData().forPath("/curator/tx/a")).equals("3"), "another value");
    }

    static void transactionAcross() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/across");
        one.transaction().forOperations(one.transactionOp().create().forPath("/curator/across/a", bytes("1")),
            one.transactionOp().create().forPath("/curator/across/a/b", bytes("2")));
    }

    static void mutex() throws Exception {
        InterProcessMutex a = new InterProcessMutex(one, "/curator/mutex"), b = new InterProcessMutex(two, "/curator/mutex");
        check(a.acquire(PATIENCE, TimeUnit.SECONDS), "not acquired");
        check(a.acquire(PATIENCE, TimeUnit.SECONDS), "not acquired again by its holder");
        Future<Boolean> waits = aside.submit(() -> {
            boolean got = b.acquire(PATIENCE, TimeUnit.SECONDS);
            b.release();
            return got;
        });
        until("the other waits", () -> a.getParticipantNodes().size() == 2);
        check(!waits.isDone(), "two holders");
        a.release();
        check(!waits.isDone(), "two holders, after one release of two");
        a.release();
        check(soon(waits), "the other did not get it");
    }

    static void mutexOfManyThreads() throws Exception {
        AtomicInteger inside = new AtomicInteger(), done = new AtomicInteger();
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            CuratorFramework c = i % 2 == 0 ? one : two;
            all.add(aside.submit(() -> {
                InterProcessMutex m = new InterProcessMutex(c, "/curator/many");
                for (int k = 0; k < 4; k++) {
                    m.acquire();
                    check(inside.incrementAndGet() == 1, "two holders");
                    done.incrementAndGet();
                    inside.decrementAndGet();
                    m.release();
                }
                return null;
            }));
        }
        for (Future<?> f : all) {
            soon(f);
        }
        check(done.get() == 24, done + " of 24");
    }

    static void readWriteLock() throws Exception {
        InterProcessReadWriteLock a = new InterProcessReadWriteLock(one, "/curator/rw"), b = new InterProcessReadWriteLock(two, "/curator/rw");
        check(a.readLock().acquire(PATIENCE, TimeUnit.SECONDS) && b.readLock().acquire(PATIENCE, TimeUnit.SECONDS), "two readers");
        b.readLock().release();
        check(!b.writeLock().acquire(50, TimeUnit.MILLISECONDS), "a writer beside a reader");
        a.readLock().release();
        check(b.writeLock().acquire(PATIENCE, TimeUnit.SECONDS), "no writer");
        b.writeLock().release();
    }

    static void semaphore() throws Exception {
        InterProcessSemaphoreV2 a = new InterProcessSemaphoreV2(one, "/curator/sem", 2), b = new InterProcessSemaphoreV2(two, "/curator/sem", 2);
        Lease first = a.acquire(PATIENCE, TimeUnit.SECONDS), second = b.acquire(PATIENCE, TimeUnit.SECONDS);
        check(first != null && second != null, "no lease");
        check(a.acquire(50, TimeUnit.MILLISECONDS) == null, "a third lease of two");
        b.returnLease(second);
        Lease third = a.acquire(PATIENCE, TimeUnit.SECONDS);
        check(third != null, "no lease after a return");
        a.returnLease(third);
        a.returnLease(first);
    }

    static void leaderLatch() throws Exception {
        CuratorFramework leads = client();
        LeaderLatch a = new LeaderLatch(leads, "/curator/latch", "a"), b = new LeaderLatch(two, "/curator/latch", "b");
        a.start();
        check(a.await(PATIENCE, TimeUnit.SECONDS), "nobody leads");
        b.start();
        until("both are seen", () -> a.getParticipants().size() == 2);
        check(!b.hasLeadership() && b.getLeader().getId().equals("a"), "another leads");
        leads.close(); // and with its session its node
        check(b.await(PATIENCE, TimeUnit.SECONDS), "nobody followed");
        b.close();
    }

    static void leaderSelector() throws Exception {
        BlockingQueue<String> led = new LinkedBlockingQueue<>();
        List<LeaderSelector> all = new ArrayList<>();
        for (CuratorFramework c : List.of(one, two)) {
            String id = c == one ? "one" : "two";
            LeaderSelector s = new LeaderSelector(c, "/curator/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework client) {
                    led.add(id);
                }
            });
            s.setId(id);
            s.start();
            all.add(s);
        }
        Set<String> seen = new TreeSet<>();
        for (int i = 0; i < 2; i++) {
            String id = led.poll(PATIENCE, TimeUnit.SECONDS);
            check(id != null, "who led: " + seen);
            seen.add(id);
        }
        check(seen.size() == 2, "who led: " + seen);
        for (LeaderSelector s : all) {
            s.close();
        }
    }

    static void barrier() throws Exception {
        DistributedBarrier a = new DistributedBarrier(one, "/curator/barrier"), b = new DistributedBarrier(two, "/curator/barrier");
        a.setBarrier();
        Future<Boolean> waits = aside.submit(() -> b.waitOnBarrier(PATIENCE, TimeUnit.SECONDS));
        check(!new DistributedBarrier(two, "/curator/barrier").waitOnBarrier(50, TimeUnit.MILLISECONDS), "passed");
        check(!waits.isDone(), "passed");
        a.removeBarrier();
        check(soon(waits), "did not pass");
    }

    static void doubleBarrier() throws Exception {
        CyclicBarrier inside = new CyclicBarrier(2);
        List<Future<Boolean>> all = new ArrayList<>();
        for (CuratorFramework c : List.of(one, two)) {
            all.add(aside.submit(() -> {
                DistributedDoubleBarrier d = new DistributedDoubleBarrier(c, "/curator/double", 2);
                boolean entered = d.enter(PATIENCE, TimeUnit.SECONDS);
                inside.await(PATIENCE, TimeUnit.SECONDS);
                return entered && d.leave(PATIENCE, TimeUnit.SECONDS);
            }));
        }
        for (Future<Boolean> f : all) {
            check(soon(f), "not all entered and left");
        }
    }

    static void sharedCount() throws Exception {
        SharedCount a = new SharedCount(one, "/curator/count", 3), b = new SharedCount(two, "/curator/count", 3);
        a.start();
        b.start();
        check(a.getCount() == 3, "another seed");
        check(a.trySetCount(a.getVersionedValue(), 4), "not set");
        until("the other sees it", () -> b.getCount() == 4);
        check(b.trySetCount(b.getVersionedValue(), 5), "not set");
        check(!a.trySetCount(a.getVersionedValue(), 9) || a.getCount() == 9, "neither set nor seen");
        a.close();
        b.close();
    }

    static void atomicLong() throws Exception {
        List<Future<?>> all = new ArrayList<>();
        AtomicInteger added = new AtomicInteger();
        for (int i = 0; i < 4; i++) {
            CuratorFramework c = i % 2 == 0 ? one : two;
            all.add(aside.submit(() -> {
                DistributedAtomicLong n = new DistributedAtomicLong(c, "/curator/atomic", new RetryOneTime(1));
                for (int k = 0; k < 5; k++) {
                    if (n.increment().succeeded()) {
                        added.incrementAndGet();
                    }
                }
                return null;
            }));
        }
        for (Future<?> f : all) {
            soon(f);
        }
        long value = new DistributedAtomicLong(one, "/curator/atomic", new RetryOneTime(1)).get().postValue();
        check(value == added.get() && value > 0, value + " after " + added);
    }

    static void pathChildrenCache() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/children");
        try (PathChildrenCache cache = new PathChildrenCache(two, "/curator/children", true)) {
            cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
            one.create().forPath("/curator/children/a", bytes("1"));
            one.create().forPath("/curator/children/b", bytes("2"));
            one.setData().forPath("/curator/children/a", bytes("3"));
            until("both are seen, and the change", () -> cache.getCurrentData().size() == 2 && text(cache.getCurrentData("/curator/children/a").getData()).equals("3"));
            one.delete().forPath("/curator/children/b");
            until("the removal is seen", () -> cache.getCurrentData().size() == 1);
        }
    }

    static void treeCache() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/tree/a/b", bytes("1"));
        try (TreeCache cache = new TreeCache(two, "/curator/tree")) {
            cache.start();
            until("what is there is seen", () -> cache.getCurrentData("/curator/tree/a/b") != null);
            one.setData().forPath("/curator/tree/a/b", bytes("2"));
            one.create().creatingParentsIfNeeded().forPath("/curator/tree/c/d/e", bytes("3"));
            until("what is new is seen", () -> text(cache.getCurrentData("/curator/tree/a/b").getData()).equals("2") && cache.getCurrentData("/curator/tree/c/d/e") != null);
            one.delete().deletingChildrenIfNeeded().forPath("/curator/tree/c");
            until("the removal is seen", () -> cache.getCurrentData("/curator/tree/c") == null);
        }
    }

    static void curatorCache() throws Exception {
        one.create().creatingParentsIfNeeded().forPath("/curator/cache/a/b", bytes("1"));
        CountDownLatch initialized = new CountDownLatch(1);
        try (CuratorCache cache = CuratorCache.build(two, "/curator/cache")) {
            cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(initialized::countDown).build());
            cache.start();
            check(initialized.await(PATIENCE, TimeUnit.SECONDS), "not initialized");
            check(text(cache.get("/curator/cache/a/b").get().getData()).equals("1"), "another value");
            one.setData().forPath("/curator/cache/a/b", bytes("2"));
            one.create().creatingParentsIfNeeded().forPath("/curator/cache/c/d", bytes("3"));
            until("what is new is seen", () -> cache.get("/curator/cache/c/d").isPresent() && text(cache.get("/curator/cache/a/b").get().getData()).equals("2"));
            one.delete().deletingChildrenIfNeeded().forPath("/curator/cache/a");
            until("the removal is seen", () -> cache.get("/curator/cache/a").isEmpty() && cache.get("/curator/cache/a/b").isEmpty());
        }
    }

    static void persistentNode() throws Exception {
        PersistentNode n = new PersistentNode(one, CreateMode.EPHEMERAL, false, "/curator/persistent/n", bytes("v"));
        n.start();
        check(n.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS), "not created");
        two.delete().forPath("/curator/persistent/n");
        until("it is created again", () -> two.checkExists().forPath("/curator/persistent/n") != null);
        n.setData(bytes("w"));
        until("it is set", () -> text(two.getData().forPath("/curator/persistent/n")).equals("w"));
        n.close();
        until("it is gone", () -> two.checkExists().forPath("/curator/persistent/n") == null);
    }

    static void ttlNode() throws Exception {
        try {
            one.create().withTtl(10_000).creatingParentsIfNeeded().withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/curator/ttl");
        } finally {
            PersistentTtlNode n = new PersistentTtlNode(one, "/curator/ttls", 10_000, bytes("v"));
            n.start();
            n.close();
        }
    }

    static void groupMember() throws Exception {
        CuratorFramework leaves = client();
        GroupMember a = new GroupMember(one, "/curator/group", "a", bytes("1")), b = new GroupMember(leaves, "/curator/group", "b", bytes("2"));
        a.start();
        b.start();
        until("both see both", () -> a.getCurrentMembers().keySet().equals(Set.of("a", "b")) && b.getCurrentMembers().keySet().equals(Set.of("a", "b")));
        leaves.close();
        until("who has left is gone", () -> a.getCurrentMembers().keySet().equals(Set.of("a")));
        a.close();
    }

    static class Texts implements QueueSerializer<String> {
        @Override
        public byte[] serialize(String s) {
            return bytes(s);
        }

        @Override
        public String deserialize(byte[] b) {
            return text(b);
        }
    }

    static void queue(String path, boolean locks) throws Exception {
        BlockingQueue<String> taken = new LinkedBlockingQueue<>();
        QueueConsumer<String> consumer = new QueueConsumer<>() {
            @Override
            public void consumeMessage(String s) {
                taken.add(s);
            }

            @Override
            public void stateChanged(CuratorFramework c, ConnectionState s) {
            }
        };
        QueueBuilder<String> puts = QueueBuilder.builder(one, null, new Texts(), path), takes = QueueBuilder.builder(two, consumer, new Texts(), path);
        if (locks) {
            puts.lockPath(path + "-locks");
            takes.lockPath(path + "-locks");
        }
        try (DistributedQueue<String> in = puts.buildQueue(); DistributedQueue<String> out = takes.buildQueue()) {
            in.start();
            out.start();
            List<String> got = new ArrayList<>(), want = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                in.put("m" + i);
                want.add("m" + i);
            }
            while (got.size() < want.size()) {
                String s = taken.poll(PATIENCE, TimeUnit.SECONDS);
                check(s != null, "only " + got);
                got.add(s);
            }
            check(new TreeSet<>(got).equals(new TreeSet<>(want)) && taken.isEmpty(), got.toString());
        }
    }

    static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            b.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? " " : String.valueOf(c));
        }
        return b.append('"').toString();
    }

    static boolean refused(Throwable e) {
        for (; e != null; e = e.getCause()) {
            if (e instanceof KeeperException.UnimplementedException || e instanceof KeeperException.InvalidACLException) {
                return true;
            }
        }
        return false;
    }

    public static void main(String[] args) throws Exception {
        addr = args[0];
        one = client();
        two = client();
        System.out.println("{\"Client\": \"Curator " + args[1] + "\"}");
        Map<String, Feature> all = new LinkedHashMap<>();
        all.put("create, set, get, delete", Features::nodes);
        all.put("withProtection", Features::protectedNode);
        all.put("inBackground", Features::background);
        all.put("transaction", Features::transaction);
        all.put("transaction across parents", Features::transactionAcross);
        all.put("withTtl", Features::ttlNode);
        all.put("InterProcessMutex", Features::mutex);
        all.put("InterProcessMutex, many threads", Features::mutexOfManyThreads);
        all.put("InterProcessReadWriteLock", Features::readWriteLock);
        all.put("InterProcessSemaphoreV2", Features::semaphore);
        all.put("LeaderLatch", Features::leaderLatch);
        all.put("LeaderSelector", Features::leaderSelector);
        all.put("DistributedBarrier", Features::barrier);
        all.put("DistributedDoubleBarrier", Features::doubleBarrier);
        all.put("SharedCount", Features::sharedCount);
        all.put("DistributedAtomicLong", Features::atomicLong);
        all.put("PathChildrenCache", Features::pathChildrenCache);
        all.put("TreeCache", Features::treeCache);
        all.put("CuratorCache", Features::curatorCache);
        all.put("PersistentNode", Features::persistentNode);
        all.put("GroupMember", Features::groupMember);
        all.put("DistributedQueue", () -> queue("/curator/queue", false));
        all.put("DistributedQueue with locks", () -> queue("/curator/safe", true));
        for (Map.Entry<String, Feature> f : all.entrySet()) {
            String result = "ok", why = "";
            try {
                f.getValue().run();
            } catch (Throwable e) {
                result = refused(e) ? "refused" : "FAILS";
                why = e.toString() + (e.getCause() == null ? "" : ": " + e.getCause());
            }
            System.out.println("{\"Feature\": " + quoted(f.getKey()) + ", \"Result\": \"" + result + "\", \"Why\": " + quoted(why) + "}");
        }
        one.close();
        two.close();
        System.exit(0);
    }
}
