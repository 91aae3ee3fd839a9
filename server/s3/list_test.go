package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"viewring/client/file"
)

// shuffled is a tree of files that tells what is in a directory in any order, and counts the most that it was asked for.
type shuffled struct {
	dirs map[string]map[string]file.Info
	rnd  *rand.Rand
}

func (s *shuffled) add(name string, dir bool) {
	for ; name != "/"; name, dir = path.Dir(name), true {
		up := path.Dir(name)
		if s.dirs[up] == nil {
			s.dirs[up] = map[string]file.Info{}
		}
		if dir && s.dirs[name] == nil {
			s.dirs[name] = map[string]file.Info{}
		}
		s.dirs[up][name] = file.Info{Path: name, Dir: dir}
	}
}

func (s *shuffled) List(_ context.Context, dir string) iter.Seq2[file.Info, error] {
	return func(yield func(file.Info, error) bool) {
		in, ok := s.dirs[dir]
		if !ok {
			yield(file.Info{}, fs.ErrNotExist)
			return
		}
		names := make([]string, 0, len(in))
		for n := range in {
			names = append(names, n)
		}
		slices.Sort(names)
		s.rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, n := range names {
			if !yield(in[n], nil) {
				return
			}
		}
	}
}

// randomKeys are keys with few letters, so that many begin alike; no key is below another.
func randomKeys(rnd *rand.Rand, n int) []string {
	segments := []string{"a", "b", "a-", "a.", "a0", "ab", "ä", "\U0001F600", "a b", "z", "-", "a!"}
	all := map[string]bool{}
	for range n {
		key := ""
		for range 1 + rnd.IntN(4) {
			key += "/" + segments[rnd.IntN(len(segments))]
		}
		key = key[1:]
		if rnd.IntN(8) == 0 {
			key += "/"
		}
		all[key] = true
	}
	keys := make([]string, 0, n)
	for k := range all {
		below := false
		for other := range all {
			below = below || !strings.HasSuffix(k, "/") && strings.HasPrefix(other, k+"/")
		}
		if !below {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestWalk: keys come in the order of their bytes, whatever the order in directories, with little held of each; by prefix and from any key on.
func TestWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		keys := randomKeys(rnd, 80)
		s := &shuffled{dirs: map[string]map[string]file.Info{}, rnd: rnd}
		s.add("/b", true)
		for _, k := range keys {
			p, err := pathOf("b", k)
			if err != nil {
				t.Fatal(err)
			}
			s.add(p, false)
		}
		s.add("/b/empty/a-/empty", true)
		for range 60 {
			prefix, after := "", ""
			if k := keys[rnd.IntN(len(keys))]; rnd.IntN(3) > 0 {
				prefix = k[:rnd.IntN(len(k)+1)]
			}
			if k := keys[rnd.IntN(len(keys))]; rnd.IntN(2) > 0 {
				after = k[:rnd.IntN(len(k)+1)] + []string{"", "/", "zz"}[rnd.IntN(3)]
			}
			var want, got []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			w := &walk{ctx: t.Context(), files: s, bucket: "b", prefix: prefix, after: after, page: 1 + rnd.IntN(5), each: func(f found) bool {
				got = append(got, f.key)
				return true
			}}
			if err := w.run(); err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d, prefix %q, after %q: %v\n got %q\nwant %q", seed, prefix, after, err, got, want)
			}
		}
	}
}

// keyOrPrefix is what a list tells, of both.
type result struct {
	IsTruncated           bool
	NextMarker            string
	NextContinuationToken string
	KeyCount              int
	Contents              []struct {
		Key, ETag, LastModified string
		Size                    int64
		Owner                   *struct{ ID string }
	}
	CommonPrefixes []struct{ Prefix string }
}

// modelList is a list by the letter of the API Reference.
func modelList(keys []string, prefix, delimiter, after string) (all []string) {
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if i := strings.Index(k[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			k = k[:len(prefix)+i+len(delimiter)]
			if len(all) > 0 && all[len(all)-1] == k || k == after {
				continue
			}
		}
		all = append(all, k)
	}
	return all
}

// TestLists: both lists, page by page, are those of a model, for prefixes and delimiters of all kinds.
func TestLists(t *testing.T) {
	t.Parallel()
	c := newCaller(t, openFiles(t))
	c.bucket("lists")
	keys := randomKeys(rand.New(rand.NewPCG(1, 2)), 50)
	for _, k := range keys {
		c.must(200, "PUT", "/lists/"+strings.ReplaceAll(url.PathEscape(k), "%2F", "/"), []byte(k))
	}
	c.must(200, "PUT", "/lists/gone/deep/key", nil)
	c.must(204, "DELETE", "/lists/gone/deep/key", nil) // its directories are left, and not told
	for _, q := range []struct{ prefix, delimiter string }{{"", ""}, {"", "/"}, {"a", "/"}, {"a/", "/"}, {"a-/", "/"}, {"ä/", ""}, {"", "-"}, {"a", "a"}, {"", "/a"}, {"no", "/"}, {"a//", "/"}, {"gone", "/"}, {"../", "/"}} {
		for _, page := range []int{1, 3, 1000} {
			want := modelList(keys, q.prefix, q.delimiter, "")
			for _, v2 := range []bool{true, false} {
				if got := c.pages(q.prefix, q.delimiter, page, v2); !slices.Equal(got, want) {
					t.Errorf("%q by %d, v2 %v:\n got %q\nwant %q", q, page, v2, got, want)
				}
			}
		}
	}
	r := parse[result](t, c.must(200, "GET", "/lists?list-type=2&max-keys=2&fetch-owner=true&start-after="+url.QueryEscape(keys[3]), nil).body)
	if len(r.Contents) != 2 || r.Contents[0].Key != keys[4] || r.Contents[0].Owner == nil || r.Contents[0].ETag != etagFor([]byte(keys[4])) || r.Contents[0].Size != int64(len(keys[4])) || r.KeyCount != 2 {
		t.Errorf("%+v", r)
	}
	r = parse[result](t, c.must(200, "GET", "/lists?list-type=2&max-keys=0", nil).body)
	if len(r.Contents) != 0 || r.IsTruncated {
		t.Errorf("%+v", r)
	}
	r = parse[result](t, c.must(200, "GET", "/lists?list-type=2&encoding-type=url&prefix=a%20b", nil).body)
	for _, o := range r.Contents {
		if k, err := url.QueryUnescape(o.Key); err != nil || !slices.Contains(keys, k) || strings.Contains(o.Key, " ") {
			t.Errorf("%q, %v", o.Key, err)
		}
	}
	for _, bad := range []string{"max-keys=x", "max-keys=-1", "encoding-type=x", "list-type=2&continuation-token=x", "list-type=2&continuation-token=", "list-type=1"} {
		c.refused(400, "InvalidArgument", c.do("GET", "/lists?"+bad, nil))
	}
	c.refused(404, "NoSuchBucket", c.do("GET", "/lists-not?list-type=2", nil))
}

// pages reads a list page by page.
func (c *caller) pages(prefix, delimiter string, page int, v2 bool) (all []string) {
	c.t.Helper()
	next := ""
	for range 1000 {
		target := fmt.Sprintf("/lists?prefix=%s&delimiter=%s&max-keys=%d", url.QueryEscape(prefix), url.QueryEscape(delimiter), page)
		switch {
		case v2 && next != "":
			target += "&list-type=2&continuation-token=" + url.QueryEscape(next)
		case v2:
			target += "&list-type=2"
		default:
			target += "&marker=" + url.QueryEscape(next)
		}
		var r result
		if err := xml.Unmarshal(c.must(200, "GET", target, nil).body, &r); err != nil {
			c.t.Fatal(err)
		}
		var some []string
		for _, o := range r.Contents {
			some = append(some, o.Key)
		}
		for _, p := range r.CommonPrefixes {
			some = append(some, p.Prefix)
		}
		slices.Sort(some)
		if all = append(all, some...); !r.IsTruncated {
			return all
		}
		if len(some) != page {
			c.t.Errorf("a page of %d has %d", page, len(some))
		}
		if next = r.NextMarker; v2 {
			next = r.NextContinuationToken
		}
	}
	c.t.Fatal("a list without end")
	return nil
}
