package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	select {
	case <-asked():
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
	all := callers{most: etcdClients, dial: func(_ context.Context, value []byte) (*caller, error) {
		c, err := etcdClient(e.endpoints)
		if err != nil {
			return nil, err
		}
		text := string(value)
		return &caller{
			set:   func(ctx context.Context, key string) error { _, err := c.Put(ctx, key, text); return err },
			get:   func(ctx context.Context, key string) error { _, err := c.Get(ctx, key); return err },
			close: func() { _ = c.Close() }, // nothing of it is wanted any more
		}, nil
	}}
	return &system{name: "etcd", noPipeline: true, pids: e.pids, stop: e.stop, load: func(ctx context.Context, l load) (result, error) {
		return all.load(ctx, o, l)
	}}, nil
}
