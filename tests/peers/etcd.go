package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// etcdMember is the argument by which this program runs as a member of etcd.
const etcdMember = "etcd-member"

// etcdClients is how many gRPC connections a load has at most; each is shared.
const etcdClients = 16

// runEtcdMember runs one: name, folder, client URL, peer URL, all peers.
func runEtcdMember(args []string) {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = args[0], args[1]
	cfg.LogLevel = "error"
	clients, peers := mustURL(args[2]), mustURL(args[3])
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = clients, clients
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peers, peers
	cfg.InitialCluster = args[4]
	cfg.QuotaBackendBytes = 8 << 30
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer e.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case <-stop:
	case err := <-e.Err():
		fmt.Fprintln(os.Stderr, err)
	}
}

func mustURL(text string) []url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err) // made by startEtcd
	}
	return []url.URL{*u}
}

// startEtcd starts three members with etcd's defaults: every write is synced by a
// majority, every read is linearizable.
func startEtcd(ctx context.Context, o *options, dir string) (*system, error) {
	s := &system{name: "etcd", noPipeline: true}
	var stops []func()
	s.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	var endpoints, peers, initial []string
	for i := range 3 {
		for _, list := range []*[]string{&endpoints, &peers} {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			*list = append(*list, "http://127.0.0.1:"+port)
		}
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		name := fmt.Sprint("m", i)
		cmd, stop, err := process(filepath.Join(dir, name+".log"), self, etcdMember, name, filepath.Join(dir, name), endpoints[i], peers[i], strings.Join(initial, ","))
		if err != nil {
			s.stop()
			return nil, err
		}
		stops = append(stops, stop)
		s.pids = append(s.pids, cmd.Process.Pid)
	}
	err = until(ctx, "etcd answers", func() bool {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: time.Second, Logger: zap.NewNop()})
		if err != nil {
			return false
		}
		defer c.Close()
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err = c.Put(asking, "ready", "")
		return err == nil
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	s.load = func(ctx context.Context, l load) (result, error) { return loadEtcd(ctx, o, endpoints, l) }
	return s, nil
}

// loadEtcd does to etcd what viewring bench does to the others.
func loadEtcd(ctx context.Context, o *options, endpoints []string, l load) (result, error) {
	keys := l.keys
	if keys == 0 {
		keys = o.keys
	}
	var clients []*clientv3.Client
	for range min(l.connections, etcdClients) {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	value := make([]byte, l.valueSize)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(value) // never fails
	text := string(value)
	each := func(work func(n int, c *clientv3.Client)) {
		var running sync.WaitGroup
		for n := range l.connections {
			running.Go(func() { work(n, clients[n%len(clients)]) })
		}
		running.Wait()
	}
	if l.fill {
		each(func(n int, c *clientv3.Client) {
			for k := n; k < keys && ctx.Err() == nil; k += l.connections {
				_, _ = c.Put(ctx, keyName(k), text) // an error shows as a slow row
			}
		})
	}
	reads := map[string]int{"set": 0, "get": 100, "mix": l.reads}[l.mode]
	took, errors := make([][]time.Duration, l.connections), make([]int, l.connections)
	cpu, began := ownProcessorTime(), time.Now()
	end := began.Add(l.span)
	each(func(n int, c *clientv3.Client) {
		for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
			key := keyName(rand.IntN(keys))
			var err error
			if rand.IntN(100) < reads {
				_, err = c.Get(ctx, key)
			} else {
				_, err = c.Put(ctx, key, text)
			}
			then := time.Now()
			if err != nil {
				errors[n]++
			} else {
				took[n] = append(took[n], then.Sub(now))
			}
			now = then
		}
	})
	cpu = ownProcessorTime() - cpu
	all := slices.Concat(took...)
	slices.Sort(all)
	r := result{Operations: len(all), PerSecond: float64(len(all)) / time.Since(began).Seconds()}
	for _, n := range errors {
		r.Errors += n
	}
	if len(all) > 0 {
		r.P50, r.P99 = all[len(all)/2].Microseconds(), all[len(all)*99/100].Microseconds()
		r.ClientCPU = float64(cpu.Nanoseconds()) / 1000 / float64(len(all))
	}
	return r, ctx.Err()
}

func keyName(i int) string { return fmt.Sprint("bench/", i) }
