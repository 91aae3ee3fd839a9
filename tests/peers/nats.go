package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsMember is the argument by which this program runs as a server of NATS.
const natsMember = "nats-member"

// natsBucket is the bucket that all loads use.
const natsBucket = "bench"

// natsConfig is a server's: name, where clients connect, folder, where the other servers
// connect, and all these. Every write is synced before it is answered.
const natsConfig = `
server_name: %s
listen: %q
jetstream { store_dir: %q, sync_interval: always }
cluster { name: peers, listen: %q, routes: [%s] }
`

// runNATSMember runs one; the arguments are those of natsConfig.
func runNATSMember(args []string) {
	var routes []string
	for route := range strings.SplitSeq(args[4], ",") {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+route))
	}
	opts := &server.Options{NoSigs: true}
	if err := opts.ProcessConfigString(fmt.Sprintf(natsConfig, args[0], args[1], args[2], args[3], strings.Join(routes, ", "))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.SetLogger(&natsErrors{}, false, false)
	s.Start()
	<-asked()
	s.Shutdown()
	s.WaitForShutdown()
}

// natsErrors writes what goes wrong to standard error, and nothing else.
type natsErrors struct{}

func (natsErrors) Noticef(string, ...any) {}
func (natsErrors) Debugf(string, ...any)  {}
func (natsErrors) Tracef(string, ...any)  {}

func (natsErrors) Warnf(format string, args ...any)  { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (natsErrors) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (natsErrors) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// natsBucketOf connects to any of the servers and returns the bucket, made if need be.
func natsBucketOf(ctx context.Context, urls string) (jetstream.KeyValue, *nats.Conn, error) {
	c, err := nats.Connect(urls, nats.Timeout(5*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	kv, err := js.KeyValue(ctx, natsBucket)
	if err != nil {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: natsBucket, Replicas: 3, Storage: jetstream.FileStorage})
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return kv, c, nil
}

// startNATS starts three servers with JetStream and a bucket on all of them: a write is
// synced by two of three before it is answered; any of the three answers a read.
func startNATS(ctx context.Context, o *options, dir string) (*system, error) {
	urls, run, err := natsServers(ctx, dir)
	if err != nil {
		return nil, err
	}
	all := callers{most: 256, dial: func(ctx context.Context, value []byte) (*caller, error) {
		kv, c, err := natsBucketOf(ctx, urls)
		if err != nil {
			return nil, err
		}
		return &caller{
			set:   func(ctx context.Context, key string) error { _, err := kv.Put(ctx, key, value); return err },
			get:   func(ctx context.Context, key string) error { _, err := kv.Get(ctx, key); return err },
			close: c.Close,
		}, nil
	}}
	return &system{name: "nats", noPipeline: true, pids: run.pids, stop: run.stop, load: func(ctx context.Context, l load) (result, error) {
		return all.load(ctx, o, l)
	}}, nil
}

// natsServers starts three servers, and waits until they have a bucket on all of them.
func natsServers(ctx context.Context, dir string) (urls string, run *group, err error) {
	addrs, err := freeAddrs(6)
	if err != nil {
		return "", nil, err
	}
	clients, routes := addrs[:3], addrs[3:]
	urls = "nats://" + strings.Join(clients, ",nats://")
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	run = &group{}
	for i := range 3 {
		name := fmt.Sprint("n", i)
		if err := run.add(filepath.Join(dir, name+".log"), self, natsMember, name, clients[i], filepath.Join(dir, name), routes[i], strings.Join(routes, ",")); err != nil {
			return "", nil, err
		}
	}
	err = until(ctx, "NATS answers", func() bool {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		kv, c, err := natsBucketOf(asking, urls)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = kv.Put(asking, "ready", nil)
		return err == nil
	})
	if err != nil {
		run.stop()
		return "", nil, err
	}
	return urls, run, nil
}
