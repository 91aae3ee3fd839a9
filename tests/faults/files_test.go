package faults

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/disk"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/tests/harness"
)

// filesRun is what all clients of the files share.
type filesRun struct {
	t *testing.T
	c *harness.Cluster

	puts, many, appends, moves, gets, died, replaced atomic.Int64
	missing                                          atomic.Int64
}

const (
	filePaths    = 12
	fileChunk    = 64 << 10
	fileBlockMax = 300 << 10
)

// block is bytes that say of themselves what they are: whoever reads some that do not
// fit together has read a mixture.
func block(rng *rand.Rand) []byte {
	n := rng.IntN(fileBlockMax)
	if rng.IntN(3) == 0 {
		n = rng.IntN(2000)
	}
	seed := rng.Uint64()
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(n)), seed)
	body := make([]byte, n)
	r := rand.NewChaCha8([32]byte(bytes.Repeat(binary.BigEndian.AppendUint64(nil, seed), 4)))
	_, _ = r.Read(body) // never fails
	return append(b, body...)
}

// broken says what is wrong with bytes that should be blocks.
func brokenBlocks(b []byte) string {
	for at := 0; at < len(b); {
		if len(b)-at < 12 {
			return fmt.Sprintf("%d bytes are left at %d", len(b)-at, at)
		}
		n, seed := int(binary.BigEndian.Uint32(b[at:])), b[at+4:at+12]
		if at += 12; at+n > len(b) {
			return fmt.Sprintf("a block of %d bytes at %d, of %d", n, at, len(b))
		}
		want := make([]byte, n)
		r := rand.NewChaCha8([32]byte(bytes.Repeat(seed, 4)))
		_, _ = r.Read(want)
		if !bytes.Equal(b[at:at+n], want) {
			return fmt.Sprintf("a block of %d bytes at %d has others", n, at)
		}
		at += n
	}
	return ""
}

// TestFiles has clients write, append to, move, copy, remove and read files while servers are
// killed, and clients die in the middle: what is read is whole, and when all files are removed no
// chunk is left on any server.
func TestFiles(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 5, LeaderFlags: []string{"--partitions", "16"},
		ServerFlags: []string{"--file-grace", "2s", "--upload-grace", "6s", "--chunk-sweep", "2s"}})
	c.WaitBalanced()
	r := &filesRun{t: t, c: c}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running := harness.Beside(t)
	for i := range 6 {
		running.Go(func() { r.client(ctx, rand.New(rand.NewPCG(uint64(i), 17))) })
	}
	for round := range 5 {
		n := c.Acting(fmt.Sprint("/d", round%3), 1)[0]
		n.Kill()
		c.WaitDown(n)
		n.Start()
		c.WaitBalanced()
	}
	stop()
	running.Wait()
	f, err := file.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range filePaths {
		r.read(t.Context(), f, r.path(i))
	}
	t.Logf("%d puts, and %d by many at a time, %d appends, %d moves and copies, %d reads, %d of what was replaced meanwhile, %d clients died",
		r.puts.Load(), r.many.Load(), r.appends.Load(), r.moves.Load(), r.gets.Load(), r.replaced.Load(), r.died.Load())
	for d := range 3 {
		if err := f.RemoveAll(t.Context(), fmt.Sprint("/d", d), nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	harness.Eventually(t, "no server knows of contents that nothing names", r.tidied)
	for _, n := range c.Servers {
		n.Kill()
	}
	for _, n := range c.Servers {
		checkEmpty(t, n)
	}
	if r.puts.Load() < 30 || r.many.Load() == 0 || r.died.Load() == 0 || r.appends.Load() == 0 || r.moves.Load() == 0 {
		t.Error("too little happened")
	}
}

// open is for goroutines beside the test.
func (r *filesRun) open() *file.FS {
	f, err := file.Open(r.t.Context(), r.c.Options())
	return harness.Must(r.t, f, err)
}

func (r *filesRun) path(i int) string { return fmt.Sprintf("/d%d/f%d", i%3, i) }

// client does what it draws, and dies now and then in the middle.
func (r *filesRun) client(ctx context.Context, rng *rand.Rand) {
	f := r.open()
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(r.t.Context(), time.Minute)
		dies := rng.IntN(15) == 0
		if dies {
			cancel()
			one, cancel = context.WithTimeout(r.t.Context(), time.Duration(rng.IntN(60))*time.Millisecond)
		}
		r.one(one, f, rng)
		cancel()
		if dies {
			r.died.Add(1)
			_ = f.Close()
			f = r.open()
		}
	}
	_ = f.Close()
}

func (r *filesRun) one(ctx context.Context, f *file.FS, rng *rand.Rand) {
	path, other := r.path(rng.IntN(filePaths)), r.path(rng.IntN(filePaths))
	var err error
	switch k := rng.IntN(15); {
	case k < 4:
		b := block(rng)
		_, err = f.Put(ctx, path, bytes.NewReader(b), file.PutOptions{Parents: true, ChunkBytes: fileChunk,
			Seal: func(file.Info) (file.Attributes, error) { return summed(b), nil }})
		r.did(&r.puts, err)
	case k >= 12:
		err = r.more(ctx, f, rng, path)
	case k < 6:
		_, err = f.Append(ctx, path, bytes.NewReader(block(rng)))
		r.did(&r.appends, err)
	case k < 7:
		_, err = f.Copy(ctx, path, other, file.PutOptions{Parents: true})
		r.did(&r.moves, err)
	case k < 8:
		r.did(&r.moves, f.Rename(ctx, path, other))
	case k < 9:
		_ = f.Remove(ctx, path)
	default:
		r.read(ctx, f, path)
	}
	if errors.Is(err, file.ErrLost) || errors.Is(err, file.ErrChecksum) {
		r.t.Errorf("%s: %v", path, err)
	}
}

// summed are attributes that say which bytes they are of.
func summed(b []byte) file.Attributes {
	sum := md5.Sum(b)
	return file.Attributes{MD5: sum[:]}
}

// errLarge: a part of a file is so long that the file is not put together.
var errLarge = errors.New("a large part")

// more does what is done to several files, or to attributes.
func (r *filesRun) more(ctx context.Context, f *file.FS, rng *rand.Rand, path string) error {
	dir := path[:strings.LastIndexByte(path, '/')]
	switch rng.IntN(3) {
	case 0:
		some := []file.Small{{Name: "sub", Dir: true}}
		for i := range filePaths {
			if b := block(rng); len(b) < file.SmallMax && strings.HasPrefix(r.path(i), dir) {
				some = append(some, file.Small{Name: r.path(i)[len(dir)+1:], Bytes: b, Attributes: summed(b)})
			}
		}
		for _, m := range f.PutMany(ctx, dir, some, file.PutOptions{}) {
			r.did(&r.many, m.Err)
		}
	case 1:
		var parts []string
		for range rng.IntN(4) {
			parts = append(parts, r.path(rng.IntN(filePaths)))
		}
		_, err := f.Concat(ctx, path, parts, file.PutOptions{Parents: true, ChunkBytes: fileChunk, Part: func(_ int, i file.Info) error {
			if i.Bytes > 4*fileBlockMax {
				return errLarge
			}
			return nil
		}})
		r.did(&r.moves, err)
		return err
	default:
		i, err := f.Stat(ctx, path)
		if err != nil || i.Dir {
			return err
		}
		i.Attributes.Meta = map[string]string{"drawn": fmt.Sprint(rng.Int())}
		_, err = f.SetAttributes(ctx, path, i.Attributes, i.Modified)
		return err
	}
	return nil
}

func (r *filesRun) did(n *atomic.Int64, err error) {
	if err == nil {
		n.Add(1)
	}
}

// read reads a file, and looks at what it has read.
func (r *filesRun) read(ctx context.Context, f *file.FS, path string) {
	var b bytes.Buffer
	i, err := f.Get(ctx, path, &b)
	switch {
	case err == nil:
		r.gets.Add(1)
		if a := i.Attributes; len(a.MD5) > 0 && !bytes.Equal(a.MD5, summed(b.Bytes()).MD5) {
			r.t.Errorf("%s: the attributes are those of other bytes", path)
		}
		if why := brokenBlocks(b.Bytes()); why != "" {
			r.t.Errorf("%s: %s", path, why)
		}
	case errors.Is(err, file.ErrReplaced):
		r.replaced.Add(1)
	case errors.Is(err, fs.ErrNotExist):
		r.missing.Add(1)
	case ctx.Err() == nil && !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrUnreachable):
		r.t.Errorf("%s: %v", path, err)
	}
}

// tidied reports whether every server says that there is nothing to tidy up.
func (r *filesRun) tidied() bool {
	for _, addr := range r.c.Addrs() {
		conn, err := wire.Dial(r.t.Context(), addr, plainDial, wire.DefaultLimits)
		if err != nil {
			return false
		}
		v, err := conn.Do(r.t.Context(), []byte("INFO"), []byte("server"))
		_ = conn.Close()
		if err != nil || !strings.Contains(v.Text(), "file_contents_ending:0\r\n") {
			return false
		}
	}
	return true
}

// checkEmpty looks into the store of a server that has ended for what files have left there.
func checkEmpty(t *testing.T, n *harness.Node) {
	t.Helper()
	dir, err := disk.Make(n.Data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(n.Data, dir, store.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for p := range ring.PartitionID(16) {
		for _, space := range []replica.Space{replica.SpaceFile, replica.SpaceChunk, replica.SpaceOwned} {
			err := s.KeysOf(p, space, func(k replica.Key) { t.Errorf("%s: left in space %d: %q", n.Name, space, k.Name()) })
			if err != nil {
				t.Error(err)
			}
		}
	}
}
