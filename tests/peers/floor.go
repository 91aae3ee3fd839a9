package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"viewring/internal/disk"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/machine"
	"viewring/server/replica"
	"viewring/server/store"
)

// floorMember is the argument by which this program runs as a member of the floor.
const floorMember = "floor-member"

// floor is one of three processes that do for a set what can't be left out and nothing
// else: read it, write its value by the engine and sync it, send it to two others that
// do the same, and answer. There is no view, lease, term, version, index or retry: what
// promises anything does more. It batches as viewring does: all that has come together
// while the batch before was on its way to the disk, from connections and from peers,
// is one batch. It shows what viewring's engine and Go's network leave for viewring.
type floor struct {
	store   *store.Store
	peers   [3]chan []byte // frames, by member; nil: itself
	self    int
	commits chan floorCommit
	syncing atomic.Int32
	synced  chan struct{} // capacity 1
	wake    chan struct{} // capacity 1

	mu struct {
		sync.Mutex
		floorEvents
	}
	items sync.Map // for gets

	rounds  []floorRound // not yet answered, in order; the lane's, as what follows
	round   uint64       // the last one
	durable [3]uint64    // by member, up to which round
}

// floorEvents are what has come together.
type floorEvents struct {
	sets   []*floorSet
	frames []floorFrame
	synced []floorCommit
}

// floorSet is a set under way.
type floorSet struct {
	key, value []byte
	done       chan struct{} // capacity 1
}

// floorFrame is what a member sends another: up to which of its rounds all is durable,
// and a round of its own.
type floorFrame struct {
	from         int
	acked, round uint64
	items        []byte
}

// floorCommit is a batch: a round of our own, and the rounds of others in it.
type floorCommit struct {
	round  uint64
	others [3]uint64
	wait   func() error
}

// floorRound is a round of our own.
type floorRound struct {
	number uint64
	sets   []*floorSet
}

// runFloorMember runs one: number, folder, addresses of the three.
func runFloorMember(args []string) {
	machine.Relax()
	debug.SetGCPercent(floorGC)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { os.Exit(0) })
	self, _ := strconv.Atoi(args[0]) // startFloor's
	floorFail(floorServe(ctx, self, args[1], args[2:]))
}

// floorGC is what a server of viewring has.
const floorGC = 200

// floorFail ends the process if something went wrong: nobody depends on it.
func floorFail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func floorServe(ctx context.Context, self int, dir string, addrs []string) error {
	fs, err := disk.Make(dir)
	if err != nil {
		return err
	}
	s, err := store.Open(dir, fs, store.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	f := &floor{store: s, self: self, commits: make(chan floorCommit, 64), synced: make(chan struct{}, 1),
		wake: make(chan struct{}, 1)}
	l, err := net.Listen("tcp", addrs[self])
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		if i != self {
			f.peers[i] = make(chan []byte, 1024)
			go f.send(ctx, addr, f.peers[i])
		}
	}
	go f.runCommits()
	go f.run()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go f.serve(c)
	}
}

// send writes frames to a member.
func (f *floor) send(ctx context.Context, addr string, frames <-chan []byte) {
	var c net.Conn
	floorFail(until(ctx, "the others are there", func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", addr)
		return err == nil
	}))
	_, err := c.Write(wire.AppendCommand(nil, []byte("LINK"), []byte(strconv.Itoa(f.self))))
	for frame := range frames {
		if err == nil {
			_, err = c.Write(frame)
		}
		floorFail(err)
	}
}

// serve answers a client, or reads a member's frames.
func (f *floor) serve(c net.Conn) {
	defer c.Close()
	r := wire.NewReader(c, wire.DefaultLimits)
	w := wire.NewWriter(c)
	set := &floorSet{done: make(chan struct{}, 1)}
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		switch string(args[0]) {
		case "SET":
			set.key, set.value = append(set.key[:0], args[1]...), append([]byte(nil), args[2]...)
			f.put(func(e *floorEvents) { e.sets = append(e.sets, set) })
			<-set.done
			f.items.Store(string(set.key), set.value)
			w.WriteSimple("OK")
		case "GET":
			v, _ := f.items.Load(string(args[1]))
			b, _ := v.([]byte)
			w.WriteBulk(b)
		case "LINK":
			from, _ := strconv.Atoi(string(args[1])) // send's
			f.receive(c, from)
			return
		default:
			w.WriteError("ERR unknown command")
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// put hands something to the lane.
func (f *floor) put(add func(*floorEvents)) {
	f.mu.Lock()
	add(&f.mu.floorEvents)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// floorHeader is length of the items, acked, round.
const floorHeader = 20

// receive reads a member's frames.
func (f *floor) receive(c net.Conn, from int) {
	r := bufio.NewReaderSize(c, 64<<10)
	var h [floorHeader]byte
	for {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return
		}
		frame := floorFrame{from: from, acked: binary.LittleEndian.Uint64(h[4:]), round: binary.LittleEndian.Uint64(h[12:]),
			items: make([]byte, binary.LittleEndian.Uint32(h[:]))}
		if _, err := io.ReadFull(r, frame.items); err != nil {
			return
		}
		f.put(func(e *floorEvents) { e.frames = append(e.frames, frame) })
	}
}

// run is the lane: it gathers, writes, sends and answers.
func (f *floor) run() {
	var e floorEvents
	pause := time.NewTimer(time.Hour)
	for range f.wake {
		runtime.Gosched()
		if f.syncing.Load() > 0 {
			pause.Reset(time.Millisecond)
			select {
			case <-f.synced:
			case <-pause.C:
			}
		}
		f.mu.Lock()
		e, f.mu.floorEvents = f.mu.floorEvents, floorEvents{sets: e.sets[:0], frames: e.frames[:0], synced: e.synced[:0]}
		f.mu.Unlock()
		f.step(&e)
	}
}

// step is one round.
func (f *floor) step(e *floorEvents) {
	var acks [3]uint64
	for i := range e.synced {
		f.durable[f.self] = max(f.durable[f.self], e.synced[i].round)
		for m, n := range e.synced[i].others {
			acks[m] = max(acks[m], n)
		}
	}
	defer f.answer()
	batch, commit := &replica.Batch{}, floorCommit{}
	for _, frame := range e.frames {
		f.durable[frame.from] = max(f.durable[frame.from], frame.acked)
		if len(frame.items) > 0 {
			commit.others[frame.from] = frame.round
		}
		for b := frame.items; len(b) > 0; {
			var key, value []byte
			key, b = floorBytes(b)
			value, b = floorBytes(b)
			batch.Ops = append(batch.Ops, floorOp(key, value))
		}
	}
	var items []byte
	if len(e.sets) > 0 {
		f.round++
		commit.round = f.round
		round := floorRound{number: f.round, sets: slices.Clone(e.sets)}
		items = make([]byte, floorHeader, 1<<15)
		for _, set := range e.sets {
			items = floorAppend(floorAppend(items, set.key), set.value)
			batch.Ops = append(batch.Ops, floorOp(set.key, set.value))
		}
		f.rounds = append(f.rounds, round)
	}
	if len(batch.Ops) > 0 {
		var err error
		commit.wait, err = f.store.ApplyBatch(batch)
		floorFail(err)
		f.syncing.Add(1)
		select {
		case <-f.synced:
		default:
		}
		f.commits <- commit
	}
	for m, peer := range f.peers {
		if peer == nil || len(items) == 0 && acks[m] == 0 {
			continue
		}
		frame := make([]byte, max(len(items), floorHeader))
		copy(frame, items)
		binary.LittleEndian.PutUint32(frame, uint32(len(frame)-floorHeader))
		binary.LittleEndian.PutUint64(frame[4:], acks[m])
		binary.LittleEndian.PutUint64(frame[12:], commit.round)
		peer <- frame
	}
}

// answer tells of rounds that all three have.
func (f *floor) answer() {
	all := min(f.durable[0], f.durable[1], f.durable[2])
	for len(f.rounds) > 0 && f.rounds[0].number <= all {
		for _, set := range f.rounds[0].sets {
			set.done <- struct{}{}
		}
		f.rounds = f.rounds[1:]
	}
}

// runCommits waits for batches and tells the lane.
func (f *floor) runCommits() {
	for c := range f.commits {
		floorFail(c.wait())
		f.put(func(e *floorEvents) { e.synced = append(e.synced, c) })
		f.syncing.Add(-1)
		select {
		case f.synced <- struct{}{}:
		default:
		}
	}
}

// floorOp is the one row of a set.
func floorOp(key, value []byte) replica.StoreOp {
	slot := ring.SlotOf(string(key))
	return replica.StoreOp{Kind: replica.PutItem, Partition: ring.PartitionID(slot % 1024), Key: replica.MakeKey(slot, replica.SpaceUser, string(key)), Value: value}
}

// floorBytes takes what floorAppend has put.
func floorBytes(b []byte) (one, rest []byte) {
	n := binary.LittleEndian.Uint32(b)
	return b[4 : 4+n], b[4+n:]
}

func floorAppend(b, one []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(one))), one...)
}

// startFloor starts the three.
func startFloor(ctx context.Context, o *options, dir string) (*system, error) {
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var run group
	for i := range 3 {
		name := strconv.Itoa(i)
		args := append([]string{floorMember, name, filepath.Join(dir, name)}, addrs...)
		if err := run.add(filepath.Join(dir, "log", name), self, args...); err != nil {
			return nil, err
		}
	}
	err = until(ctx, "the floor answers", func() bool {
		for _, addr := range addrs {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	})
	if err != nil {
		run.stop()
		return nil, err
	}
	return &system{name: "floor", noPipeline: true, pids: run.pids, stop: run.stop, load: func(ctx context.Context, l load) (result, error) {
		return bench(ctx, o, l, "--addr", strings.Join(addrs, ","))
	}}, nil
}
