package s3

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
)

// blocked reads a part, and then nothing more until it is told.
type blocked struct {
	first   *bytes.Reader
	reached sync.Once
	begun   chan struct{}
	end     chan struct{}
}

func (b *blocked) Read(p []byte) (int, error) {
	if n, _ := b.first.Read(p); n > 0 {
		return n, nil
	}
	b.reached.Do(func() { close(b.begun) })
	<-b.end
	return 0, errors.New("ended")
}

// TestFrontKilled: a front is killed in the middle of a part and of a put. Another one goes on with the upload, nothing is half
// visible, and nothing is left.
func TestFrontKilled(t *testing.T) {
	p := newPlace(t)
	addr, dying := p.front(t)
	other, _ := p.front(t)
	first, second := minio.Core{Client: p.connect(t, addr, false)}, minio.Core{Client: p.connect(t, other, false)}
	ctx := t.Context()
	const bucket = "faults-bucket"
	if err := first.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	old := random(9, 2<<20)
	if _, err := first.Client.PutObject(ctx, bucket, "dir/o", bytes.NewReader(old), int64(len(old)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	id, err := first.NewMultipartUpload(ctx, bucket, "dir/o", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parts := [][]byte{random(1, 5<<20), random(2, 6<<20), random(3, 77)}
	done := make([]minio.CompletePart, len(parts))
	upload := func(c minio.Core, n int) {
		t.Helper()
		i, err := c.PutObjectPart(ctx, bucket, "dir/o", id, n, bytes.NewReader(parts[n-1]), int64(len(parts[n-1])), minio.PutObjectPartOptions{})
		if err != nil {
			t.Fatalf("part %d: %v", n, err)
		}
		done[n-1] = minio.CompletePart{PartNumber: n, ETag: i.ETag}
	}
	upload(first, 1)

	// A part and another object are on their way when the front dies.
	var running sync.WaitGroup
	end := make(chan struct{})
	send := func(do func(context.Context, *blocked) error, n int) {
		b := &blocked{first: bytes.NewReader(random(5, n/2)), begun: make(chan struct{}), end: end}
		running.Go(func() {
			if do(ctx, b) == nil {
				t.Error("what was cut off is said to be done")
			}
		})
		<-b.begun
	}
	send(func(ctx context.Context, b *blocked) error {
		_, err := first.PutObjectPart(ctx, bucket, "dir/o", id, 2, b, 6<<20, minio.PutObjectPartOptions{DisableContentSha256: true})
		return err
	}, 6<<20)
	send(func(ctx context.Context, b *blocked) error {
		_, err := first.Client.PutObject(ctx, bucket, "dir/half", b, 4<<20, minio.PutObjectOptions{DisableMultipart: true, DisableContentSha256: true})
		return err
	}, 4<<20)
	_ = dying.Cmd.Process.Kill()
	<-dying.Done
	close(end)
	running.Wait()

	if err := fetched(ctx, second.Client, bucket, "dir/o", old); err != nil {
		t.Errorf("the old object: %v", err)
	}
	if _, err := second.Client.StatObject(ctx, bucket, "dir/half", minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != "NoSuchKey" {
		t.Errorf("half an object: %v", err)
	}
	l, err := second.ListObjectParts(ctx, bucket, "dir/o", id, 0, 100)
	if err != nil || len(l.ObjectParts) != 1 || l.ObjectParts[0].PartNumber != 1 {
		t.Errorf("%+v, %v", l.ObjectParts, err)
	}
	upload(second, 2)
	upload(second, 3)
	if _, err := second.CompleteMultipartUpload(ctx, bucket, "dir/o", id, done, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := fetched(ctx, second.Client, bucket, "dir/o", slices.Concat(parts...)); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{"/.s3/parts", "/.s3/uploads/" + bucket} {
		for i, err := range p.files.List(ctx, dir) {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err == nil {
				t.Errorf("%s is left", i.Path)
			}
		}
	}
}

// TestKeysAtFronts: a key that is removed is refused, and a front with another secret file knows none.
func TestKeysAtFronts(t *testing.T) {
	p := newPlace(t)
	addr, _ := p.front(t)
	c := p.connect(t, addr, false)
	if _, err := c.ListBuckets(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.flags = nil
	bare, _ := p.front(t)
	if _, err := p.connect(t, bare, false).ListBuckets(t.Context()); minio.ToErrorResponse(err).Code != "NotImplemented" {
		t.Errorf("a front without a secret: %v", err)
	}
	p.shell.OK("s3", "key", "remove", "test")
	for {
		_, err := c.ListBuckets(t.Context())
		if err == nil {
			continue // for up to five seconds
		}
		if code := minio.ToErrorResponse(err).Code; code != "InvalidAccessKeyId" {
			t.Errorf("a removed key: %v", err)
		}
		return
	}
}
