package clients

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"viewring/tests/harness"
)

const (
	askMax = 10 * time.Second // for one command
	loops  = 4                // of a load
)

// library is a client library for Go.
type library struct {
	t      *testing.T
	title  string
	prefix string                                                          // of its keys
	do     func(ctx context.Context, args ...any) (any, error)             // nil for Redis's null
	many   func(ctx context.Context, commands [][]any) ([]any, error)      // pipelined
	multi  func(ctx context.Context, key string, c [][]any) ([]any, error) // in a transaction
	pace   pace
	stop   chan struct{}
	ended  sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]int
	result outcome
}

func (l *library) name() string { return l.title }

// pace is how a load goes.
type pace struct {
	every time.Duration // from one write of a loop to the next; 0: 2 ms
	keys  int           // that a loop writes again and again; 0: each once
	fail  func(error)   // is told of each error; nil: nobody is
}

// version finds out which one of a module this is built with.
func version(module string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "v"))
}

func openGoRedis(t *testing.T, addrs []string) driver {
	// It learns of changes by MOVED alone, which a dead server does not say, or once in
	// this time; its default is a minute.
	return openGoRedisCluster(t, &redis.ClusterOptions{Addrs: addrs, ClusterStateReloadInterval: time.Second})
}

func openGoRedisCluster(t *testing.T, o *redis.ClusterOptions) *library {
	c := redis.NewClusterClient(o)
	t.Cleanup(func() { c.Close() })
	return goRedis(t, c, "go-redis "+version("github.com/redis/go-redis/v9")+" ClusterClient", "go-redis")
}

// openPlain is a client that knows nothing of clusters.
func openPlain(t *testing.T, addr string) driver {
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { c.Close() })
	return goRedis(t, c, "go-redis "+version("github.com/redis/go-redis/v9")+" Client, by a gateway", "plain")
}

func goRedis(t *testing.T, c redis.UniversalClient, title, prefix string) *library {
	all := func(cmds []redis.Cmder, err error) ([]any, error) {
		var out []any
		for _, cmd := range cmds {
			if errors.Is(cmd.Err(), redis.Nil) {
				err = nil
			}
			if got, ok := cmd.(*redis.Cmd); ok {
				out = append(out, got.Val())
			}
		}
		return out, err
	}
	queue := func(p redis.Pipeliner, commands [][]any) error {
		for _, args := range commands {
			p.Do(context.Background(), args...)
		}
		return nil
	}
	return &library{t: t, title: title, prefix: prefix,
		do: func(ctx context.Context, args ...any) (any, error) {
			v, err := c.Do(ctx, args...).Result()
			if errors.Is(err, redis.Nil) {
				return nil, nil
			}
			return v, err
		},
		many: func(ctx context.Context, commands [][]any) ([]any, error) {
			return all(c.Pipelined(ctx, func(p redis.Pipeliner) error { return queue(p, commands) }))
		},
		multi: func(ctx context.Context, _ string, commands [][]any) ([]any, error) {
			return all(c.TxPipelined(ctx, func(p redis.Pipeliner) error { return queue(p, commands) }))
		},
	}
}

func openRueidis(t *testing.T, addrs []string) driver {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: addrs, DisableCache: true, ShuffleInit: true})
	if err != nil {
		t.Fatalf("rueidis: %v", err)
	}
	t.Cleanup(c.Close)
	build := func(args []any) rueidis.Completed {
		b := c.B().Arbitrary(fmt.Sprint(args[0]))
		if len(args) > 1 {
			b = b.Keys(fmt.Sprint(args[1]))
		}
		for _, a := range args[min(2, len(args)):] {
			b = b.Args(fmt.Sprint(a))
		}
		return b.Build()
	}
	value := func(r rueidis.RedisResult) (any, error) {
		v, err := r.ToAny()
		if rueidis.IsRedisNil(err) {
			return nil, nil
		}
		return v, err
	}
	return &library{t: t, title: "rueidis " + version("github.com/redis/rueidis"), prefix: "rueidis",
		do: func(ctx context.Context, args ...any) (any, error) { return value(c.Do(ctx, build(args))) },
		many: func(ctx context.Context, commands [][]any) (out []any, err error) {
			var cmds rueidis.Commands
			for _, args := range commands {
				cmds = append(cmds, build(args))
			}
			for _, r := range c.DoMulti(ctx, cmds...) {
				v, verr := value(r)
				if verr != nil {
					err = verr
				}
				out = append(out, v)
			}
			return out, err
		},
		multi: func(ctx context.Context, key string, commands [][]any) (out []any, err error) {
			err = c.Dedicated(func(d rueidis.DedicatedClient) error {
				cmds := rueidis.Commands{c.B().Multi().Build()}
				for _, args := range commands {
					cmds = append(cmds, build(args))
				}
				results := d.DoMulti(ctx, append(cmds, c.B().Exec().Build())...)
				list, err := results[len(results)-1].ToArray()
				for _, m := range list {
					v, _ := m.ToAny()
					out = append(out, v)
				}
				return err
			})
			return out, err
		},
	}
}

// wants asks, and compares the answer's text.
func (l *library) wants(want string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), askMax)
	defer cancel()
	got, err := l.do(ctx, args...)
	if err != nil {
		return fmt.Errorf("%v: %w", args, err)
	}
	if text := fmt.Sprint(got); text != want {
		return fmt.Errorf("%v: %s, want %s", args, text, want)
	}
	return nil
}

func (l *library) run(_ *testing.T, check string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 6*askMax)
	defer cancel()
	k := l.prefix + "/" + check
	switch check {
	case "basic":
		return errors.Join(l.wants("OK", "SET", k, "hello"), l.wants("hello", "GET", k), l.wants("6", "APPEND", k, "!"),
			l.wants("hello", "GETRANGE", k, 0, 4), l.wants("<nil>", "SET", k, "x", "NX"), l.wants("1", "DEL", k), l.wants("<nil>", "GET", k),
			l.wants("7", "INCRBY", k, 7), l.wants("OK", "MSET", "{"+k+"}a", 1, "{"+k+"}b", 2), l.wants("[1 2]", "MGET", "{"+k+"}a", "{"+k+"}b"))
	case "routing":
		for i := range 300 {
			if err := l.wants("1", "INCR", fmt.Sprintf("%s/%d", k, i)); err != nil {
				return err
			}
		}
		return nil
	case "pipeline":
		return l.pipelines(ctx, k)
	case "multi":
		out, err := l.multi(ctx, "{"+k+"}", [][]any{{"SET", "{" + k + "}a", "1"}, {"INCR", "{" + k + "}a"}, {"GET", "{" + k + "}a"}})
		if got := fmt.Sprint(out); err == nil && got != "[OK 2 2]" {
			err = fmt.Errorf("EXEC: %s", got)
		}
		return err
	}
	if err := errors.Join(l.wants("OK", "SET", k, "v", "PX", 60000), l.wants("60", "TTL", k), l.wants("1", "PERSIST", k), l.wants("-1", "TTL", k),
		l.wants("1", "PEXPIRE", k, 1)); err != nil {
		return err
	}
	for l.wants("<nil>", "GET", k) != nil {
		if ctx.Err() != nil {
			return errors.New("it does not expire")
		}
	}
	return nil
}

func (l *library) pipelines(ctx context.Context, k string) error {
	var sets, gets [][]any
	for i := range 1000 {
		key := fmt.Sprintf("%s/%d", k, i)
		sets, gets = append(sets, []any{"SET", key, fmt.Sprint(i)}), append(gets, []any{"GET", key})
	}
	if _, err := l.many(ctx, sets); err != nil {
		return err
	}
	out, err := l.many(ctx, gets)
	if err != nil || len(out) != len(gets) {
		return fmt.Errorf("%d answers: %w", len(out), err)
	}
	for i, got := range out {
		if fmt.Sprint(got) != fmt.Sprint(i) {
			return fmt.Errorf("answer %d is %v", i, got)
		}
	}
	return nil
}

func (l *library) load() error {
	l.stop, l.acked = make(chan struct{}), make(map[string]int)
	for loop := range loops {
		l.ended.Go(func() { l.write(loop) })
	}
	return nil
}

func (l *library) write(loop int) {
	tick := time.NewTicker(cmp.Or(l.pace.every, 2*time.Millisecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		at := i
		if l.pace.keys > 0 {
			at %= l.pace.keys
		}
		key := fmt.Sprintf("%s/load/%d/%d", l.prefix, loop, at)
		began := time.Now()
		err := l.wants("OK", "SET", key, i)
		l.mu.Lock()
		if err == nil {
			l.acked[key] = i
			l.result.Acked++
		} else {
			delete(l.acked, key) // nobody knows
			l.result.Errors++
			l.result.Last = err.Error()
			if l.pace.fail != nil {
				l.pace.fail(err)
			}
		}
		l.result.Longest = max(l.result.Longest, int(time.Since(began).Milliseconds()))
		l.mu.Unlock()
	}
}

func (l *library) finish() (outcome, error) {
	close(l.stop)
	l.ended.Wait()
	for key, i := range l.acked {
		got, err := l.readBack(key)
		if err != nil {
			return l.result, err
		}
		if fmt.Sprint(got) != fmt.Sprint(i) {
			l.result.Lost++
		}
	}
	return l.result, nil
}

// readBackMax is longer than any client goes by an old map of the cluster.
const readBackMax = 30 * time.Second

func (l *library) readBack(key string) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readBackMax)
	defer cancel()
	for {
		got, err := l.do(ctx, "GET", key)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		harness.Pass(l.t, 50*time.Millisecond)
	}
}
