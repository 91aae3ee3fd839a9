package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"viewring/ring"
	"viewring/tests/harness"
)

// register is a key that one goroutine writes, and the last value of which that is known.
type register struct {
	name  string
	tried int // what was sent last
	acked int // what was acknowledged last
	write func(ctx context.Context, value int) error
}

// writeAll writes registers, each by a goroutine of its own, until stop is closed.
func writeAll(t *testing.T, all []*register, stop <-chan struct{}) *sync.WaitGroup {
	var writing sync.WaitGroup
	for _, r := range all {
		writing.Go(func() {
			tick := time.NewTicker(time.Duration(2+rand.IntN(5)) * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				ctx, cancel := context.WithTimeout(context.Background(), askMax)
				r.tried++
				if r.write(ctx, r.tried) == nil {
					r.acked = r.tried
				}
				cancel()
			}
		})
	}
	return &writing
}

// TestCaching: rueidis keeps what it reads as it does with a Redis Cluster. While servers join,
// leave, stand still and are killed it may be behind for a moment; when all is quiet no value
// that it keeps is old.
func TestCaching(t *testing.T) {
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	shell := harness.NewShell(t, cluster.Leader.Addr)
	open := func(cached bool, tracking ...string) rueidis.Client {
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: cluster.Addrs(), DisableCache: !cached, ShuffleInit: true,
			ClientTrackingOptions: tracking, ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: time.Second}})
		if err != nil {
			t.Fatalf("rueidis: %v", err)
		}
		t.Cleanup(c.Close)
		return c
	}
	writer := open(false)
	readers := map[string]rueidis.Client{"default": open(true), "BCAST": open(true, "PREFIX", "cached/", "BCAST")}
	const keys = 60
	all := make([]*register, keys)
	for i := range all {
		r := &register{name: fmt.Sprintf("cached/%d", i)}
		r.write = func(ctx context.Context, value int) error {
			return writer.Do(ctx, writer.B().Set().Key(r.name).Value(strconv.Itoa(value)).Build()).Error()
		}
		all[i] = r
	}
	get := func(reader rueidis.Client, name string) rueidis.RedisResult {
		ctx, cancel := context.WithTimeout(context.Background(), askMax)
		defer cancel()
		return reader.DoCache(ctx, reader.B().Get().Key(name).Cache(), time.Hour)
	}
	settle := func() {
		t.Helper()
		for _, r := range all {
			if r.acked != r.tried { // nobody knows which one is stored
				ctx, cancel := context.WithTimeout(context.Background(), askMax)
				for r.tried++; r.write(ctx, r.tried) != nil; r.tried++ {
					if ctx.Err() != nil {
						t.Fatalf("%s can't be written", r.name)
					}
				}
				r.acked = r.tried
				cancel()
			}
		}
	}
	agrees := func(what string, reader rueidis.Client) {
		t.Helper()
		hits := 0
		for _, r := range all {
			harness.Eventually(t, fmt.Sprintf("%s: %s is %d for who keeps it", what, r.name, r.acked), func() bool {
				got, err := get(reader, r.name).AsInt64()
				return err == nil && got == int64(r.acked)
			})
			if again := get(reader, r.name); again.IsCacheHit() {
				hits++
			}
		}
		if hits < keys/2 {
			t.Errorf("%s: %d of %d were kept", what, hits, keys)
		}
	}
	play := func(what string, fault func()) {
		stop := make(chan struct{})
		writing := writeAll(t, all, stop)
		var reading sync.WaitGroup
		for _, reader := range readers {
			for range 2 {
				reading.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						get(reader, all[rand.IntN(keys)].name)
						ctx, cancel := context.WithTimeout(context.Background(), askMax)
						_, _ = rueidis.MGetCache(reader, ctx, time.Hour, []string{all[rand.IntN(keys)].name, all[rand.IntN(keys)].name}) // of a server that is down
						cancel()
					}
				})
			}
		}
		fault()
		harness.Pass(t, 300*time.Millisecond)
		close(stop)
		writing.Wait()
		reading.Wait()
		settle()
		for mode, reader := range readers {
			agrees(what+", "+mode, reader)
		}
		t.Logf("%s: %d keys agree", what, keys)
	}
	play("nothing happens", func() {})
	play("a server joins", func() {
		cluster.Add()
		cluster.WaitBalanced()
	})
	play("a server is killed", func() {
		cluster.Servers[1].Kill()
		cluster.WaitDown(cluster.Servers[1])
	})
	play("it is back", func() {
		cluster.Servers[1].Start()
		cluster.WaitUp(cluster.Servers[1])
		cluster.WaitBalanced()
	})
	play("a server stands still", func() {
		cluster.Servers[2].Pause()
		cluster.WaitDown(cluster.Servers[2])
		harness.Pass(t, 300*time.Millisecond)
		cluster.Servers[2].Resume()
		cluster.WaitUp(cluster.Servers[2])
	})
	play("a server leaves", func() {
		shell.OK("leave", cluster.Servers[0].Addr)
		cluster.WaitView("it has left", func(v *ring.View) bool { return len(v.Members) == 3 })
	})
}

// TestNotifications: go-redis listens at all servers, and is told of every write that was
// acknowledged, though a server is killed meanwhile.
func TestNotifications(t *testing.T) {
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	seen := &names{set: make(map[string]bool)}
	for _, addr := range cluster.Addrs() {
		c := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { c.Close() })
		sub := c.PSubscribe(t.Context(), "__keyspace@0__:told/*")
		t.Cleanup(func() { sub.Close() })
		if _, err := sub.Receive(t.Context()); err != nil { // the confirmation
			t.Fatal(err)
		}
		go func() {
			for m := range sub.Channel(redis.WithChannelSize(1 << 16)) {
				if m.Payload == "set" {
					seen.add(strings.TrimPrefix(m.Channel, "__keyspace@0__:"))
				}
			}
		}()
	}
	events := redis.NewClient(&redis.Options{Addr: cluster.Addrs()[2]})
	defer events.Close()
	if got, err := events.ConfigGet(t.Context(), "notify-keyspace-events").Result(); err != nil || got["notify-keyspace-events"] != "g$xKE" {
		t.Errorf("%v, %v", got, err)
	}
	writer := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), ClusterStateReloadInterval: time.Second})
	defer writer.Close()
	var acked names
	acked.set = make(map[string]bool)
	var number atomic.Int64
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for range 8 {
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), askMax)
				if name := fmt.Sprint("told/", number.Add(1)); writer.Set(ctx, name, "v", 0).Err() == nil {
					acked.add(name)
				}
				cancel()
			}
		})
	}
	harness.Eventually(t, "something is written", func() bool { return acked.count() > 500 })
	cluster.Servers[0].Kill()
	cluster.WaitDown(cluster.Servers[0])
	after := acked.count()
	harness.Eventually(t, "something is written again", func() bool { return acked.count() > after+500 })
	close(stop)
	writing.Wait()
	harness.Eventually(t, "all that was acknowledged is told", func() bool { return acked.missing(seen) == 0 })
	t.Logf("%d acknowledged, %d told", acked.count(), seen.count())
}

// names is a set that some goroutines add to.
type names struct {
	mu  sync.Mutex
	set map[string]bool
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set[name] = true
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.set)
}

func (n *names) missing(in *names) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	for name := range n.set {
		if !in.set[name] {
			count++
		}
	}
	return count
}

// TestCLIListens: redis-cli shows messages and, in RESP3, what it is told of keys that it read.
func TestCLIListens(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("there is no redis-cli (Debian's package redis-tools has it)")
	}
	cluster := harness.NewCluster(t, harness.Config{Servers: 1, Direct: true})
	host, port, err := net.SplitHostPort(cluster.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	start := func(stdin string, args ...string) (*harness.Lines, *exec.Cmd, func(string)) {
		cmd := exec.Command("redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
		out := harness.NewLines()
		cmd.Stdout, cmd.Stderr = out, out
		in := startTalking(t, cmd)
		say := func(line string) {
			if _, err := fmt.Fprintln(in, line); err != nil {
				t.Fatal(err)
			}
		}
		if stdin != "" {
			say(stdin)
		}
		return out, cmd, say
	}
	messages, _, _ := start("", "PSUBSCRIBE", "__key*__:*")
	messages.Wait(t, "psubscribe", nil)
	cached, _, say := start("CLIENT TRACKING ON", "-3", "--show-pushes", "yes")
	cached.Wait(t, "OK", nil)
	say("GET greeting")
	say("ECHO was-read")
	cached.Wait(t, "was-read", nil)
	_, _, write := start("SET greeting hello EX 100")
	messages.Wait(t, "__keyspace@0__:greeting\nset", nil)
	say("PING")
	cached.Wait(t, "invalidate", nil)
	write("DEL greeting")
	messages.Wait(t, "__keyevent@0__:del\ngreeting", nil)
}

// TestNodeListens: npm's clients are told of keys, and node-redis keeps none too long.
func TestNodeListens(t *testing.T) {
	if !npm(t) {
		t.Skip("npm's clients are not here")
	}
	cluster := harness.NewCluster(t, harness.Config{Servers: 1, Direct: true})
	addr := cluster.Addrs()[0]
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	start := func(args ...string) *harness.Lines {
		cmd := exec.Command("node", append([]string{"listen.mjs"}, args...)...)
		cmd.Dir = "node"
		out := harness.NewLines()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
		})
		out.Wait(t, "ready", nil)
		return out
	}
	set := func(value string) {
		if err := c.Set(t.Context(), "npm", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	listens := []*harness.Lines{start("ioredis", addr, "__keyspace@0__:np*"), start("redis", addr, "__keyspace@0__:np*")}
	set("1")
	for _, out := range listens {
		out.Wait(t, "__keyspace@0__:npm set", nil)
	}
	cached := start("redis", addr, "npm", "cached")
	for i := range 20 {
		set(fmt.Sprint("value ", i))
		cached.Wait(t, fmt.Sprint("value value ", i, "\n"), nil)
	}
	hits, err := c.Info(t.Context(), "stats").Result()
	if err != nil || !strings.Contains(hits, "tracking_total_keys:1\r\n") {
		t.Errorf("%v, %s", err, hits)
	}
}
