package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
)

// TestPartsOfLongValue asks by commands for parts of a value that no cache keeps: they say what
// they say of a short one, and read little.
func TestPartsOfLongValue(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	k := c.redisClient(t)
	defer k.close()
	do := func(args ...string) wire.Value {
		t.Helper()
		v, err := k.do(args...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	long := make([]byte, 4<<20)
	rng := rand.New(rand.NewPCG(1, 17))
	for i := range long {
		long[i] = byte(rng.Uint32())
	}
	values := map[string][]byte{"long": long, "short": []byte("0123456789"), "absent": nil}
	for key, v := range values {
		if v != nil {
			do("SET", key, string(v), "EXAT", "4102444800")
		}
	}
	var read atomic.Int64
	c.fs[1].Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read {
			read.Add(int64(st.Len))
		}
		return nil
	})
	check := func(key string, want any, args ...string) {
		t.Helper()
		read.Store(0)
		v := do(args...)
		got := any(v.Int)
		if b, ok := want.([]byte); ok {
			want, got = string(b), string(v.Bytes)
		}
		if got != want {
			t.Errorf("%v: %.40q, want %.40q", args, fmt.Sprint(v), fmt.Sprint(want))
		}
		if n := read.Load(); n > 256<<10 {
			t.Errorf("%v of a value of %d bytes reads %d", args, len(values[key]), n)
		}
	}
	for key, v := range values {
		n := len(v)
		for _, r := range [][2]int{{0, 9}, {-10, -1}, {3, 3}, {5, 2}, {n / 2, n/2 + 5000}, {n - 4, n + 100}, {n, n}, {-n - 5, 4}, {-3, -5}} {
			from, to := r[0], r[1]
			want := model(v, from, to)
			check(key, want, "GETRANGE", key, fmt.Sprint(from), fmt.Sprint(to))
			check(key, want, "SUBSTR", key, fmt.Sprint(from), fmt.Sprint(to))
		}
		for _, at := range []int{0, 8*n/2 + 3, 8*n - 1, 8 * n} {
			want := int64(0)
			if 0 <= at && at < 8*n {
				want = int64(v[at/8] >> (7 - at%8) & 1)
			}
			check(key, want, "GETBIT", key, fmt.Sprint(max(0, at)))
		}
		there := int64(min(n, 1))
		check(key, int64(n), "STRLEN", key)
		check(key, there, "EXISTS", key)
		check(key, 4102444800*there+2*(there-1), "EXPIRETIME", key)
		check(key, []byte([]string{"none", "string"}[there]), "TYPE", key)
	}
	// Those of a pipeline go the way of the lane.
	read.Store(0)
	one := wire.AppendCommand(nil, []byte("GETRANGE"), []byte("long"), []byte("7"), []byte("9"))
	nc, err := net.Dial("tcp", c.servers[1].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(bytes.Repeat(one, 4)); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(nc, wire.DefaultLimits)
	for range 4 {
		if v, err := r.ReadValue(); err != nil || !bytes.Equal(v.Bytes, long[7:10]) {
			t.Fatalf("in a pipeline: %q, %v", v.Bytes, err)
		}
	}
	if n := read.Load(); n > 4*256<<10 {
		t.Errorf("4 parts of a pipeline read %d bytes", n)
	}
	if v := do("GET", "long"); !bytes.Equal(v.Bytes, long) {
		t.Errorf("all of it: %d bytes", len(v.Bytes))
	}
	if v := do("GETRANGE", "long", "0", "-1"); !bytes.Equal(v.Bytes, long) {
		t.Errorf("all of it: %d bytes", len(v.Bytes))
	}
}

// model is GETRANGE by its documentation: both ends count from the end where they are below 0.
func model(v []byte, from, to int) []byte {
	var out []byte
	if from < 0 && to < 0 && from > to {
		return out
	}
	if from < 0 {
		from = max(0, from+len(v))
	}
	if to < 0 {
		to = max(0, to+len(v))
	}
	for i := range v {
		if i >= from && i <= to {
			out = append(out, v[i])
		}
	}
	return out
}
