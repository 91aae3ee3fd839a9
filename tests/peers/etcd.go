package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
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

// etcdCluster is three members that run.
type etcdCluster struct {
	endpoints []string
	pids      []int
	stop      func()
}

// etcdUp starts three members with etcd's defaults.
func etcdUp(ctx context.Context, dir string) (*etcdCluster, error) {
	var peers, initial []string
	e := &etcdCluster{}
	addrs, err := freeAddrs(6)
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		e.endpoints, peers = append(e.endpoints, "http://"+addrs[2*i]), append(peers, "http://"+addrs[2*i+1])
		initial = append(initial, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var run group
	e.stop = run.stop
	for i := range 3 {
		name := fmt.Sprint("m", i)
		if err := run.add(filepath.Join(dir, name+".log"), self, etcdMember, name, filepath.Join(dir, name), e.endpoints[i], peers[i], strings.Join(initial, ",")); err != nil {
			return nil, err
		}
	}
	e.pids = run.pids
	err = until(ctx, "etcd answers", func() bool {
		c, err := etcdClient(e.endpoints)
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
		e.stop()
		return nil, err
	}
	return e, nil
}

func etcdClient(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// startEtcd starts three members: every write is synced by a majority, every read is
// linearizable.
func startEtcd(ctx context.Context, o *options, dir string) (*system, error) {
	e, err := etcdUp(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &system{name: "etcd", noPipeline: true, pids: e.pids, stop: e.stop, load: func(ctx context.Context, l load) (result, error) {
		return loadEtcd(ctx, o, e.endpoints, l)
	}}, nil
}

// loadEtcd does to etcd what viewring bench does to the others.
func loadEtcd(ctx context.Context, o *options, endpoints []string, l load) (result, error) {
	keys := l.keys
	if keys == 0 {
		keys = o.keys
	}
	var clients []*clientv3.Client
	for range min(l.connections, etcdClients) {
		c, err := etcdClient(endpoints)
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
	r := summary(took, time.Since(began), ownProcessorTime()-cpu)
	for _, n := range errors {
		r.Errors += n
	}
	return r, ctx.Err()
}

func keyName(i int) string { return fmt.Sprint("bench/", i) }
