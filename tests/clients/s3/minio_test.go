package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// connect makes a client. With virtual hosts the bucket is in the name of the host.
func (p *place) connect(t *testing.T, addr string, virtual bool) *minio.Client {
	t.Helper()
	o := &minio.Options{Creds: credentials.NewStaticV4(p.id, p.secret, ""), TrailingHeaders: true, Region: "us-east-1", MaxRetries: 1}
	endpoint := addr
	if virtual {
		endpoint, o.BucketLookup = "s3.test", minio.BucketLookupDNS
		o.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}
	}
	c, err := minio.New(endpoint, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fetched wants an object to have these bytes.
func fetched(ctx context.Context, c *minio.Client, bucket, key string, want []byte) error {
	o, err := c.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes are read that are not the %d written", len(got), len(want))
	}
	return err
}

const minioBucket = "minio-bucket"

func minioSteps(t *testing.T, p *place, addr string) []step {
	ctx, c := t.Context(), p.connect(t, addr, false)
	core := &minio.Core{Client: c}
	small, big := random(1, 3000), random(2, 11<<20+7)
	put := func(key string, body []byte, o minio.PutObjectOptions) func() error {
		return func() error {
			_, err := c.PutObject(ctx, minioBucket, key, bytes.NewReader(body), int64(len(body)), o)
			if err != nil {
				return err
			}
			return fetched(ctx, c, minioBucket, key, body)
		}
	}
	steps := []step{
		{operation: "MakeBucket, BucketExists, ListBuckets", try: func() error {
			err := c.MakeBucket(ctx, minioBucket, minio.MakeBucketOptions{})
			there, err2 := c.BucketExists(ctx, minioBucket)
			all, err3 := c.ListBuckets(ctx)
			if err := errors.Join(err, err2, err3); err != nil || !there || !slices.ContainsFunc(all, func(b minio.BucketInfo) bool { return b.Name == minioBucket }) {
				return fmt.Errorf("%v %v %v", err, there, all)
			}
			return nil
		}},
		{operation: "PutObject", try: put("a/small", small, minio.PutObjectOptions{ContentType: "text/x", UserMetadata: map[string]string{"Colour": "blue"}})},
		{operation: "PutObject with Content-MD5", try: put("a/md5", small, minio.PutObjectOptions{SendContentMd5: true})},
	}
	for _, sum := range []minio.ChecksumType{minio.ChecksumCRC32, minio.ChecksumCRC32C, minio.ChecksumCRC64NVME, minio.ChecksumSHA1, minio.ChecksumSHA256} {
		steps = append(steps, step{operation: "PutObject with a trailing " + sum.String(), try: put("sums/"+sum.String(), small, minio.PutObjectOptions{Checksum: sum})})
	}
	return append(steps, []step{
		{operation: "PutObject in parts", try: put("b/big", big, minio.PutObjectOptions{PartSize: 5 << 20})},
		{operation: "PutObject in parts with a CRC32 of the whole", try: put("b/crc32", big, minio.PutObjectOptions{PartSize: 5 << 20, Checksum: minio.ChecksumFullObjectCRC32})},
		{operation: "PutObject in parts, of unknown length", try: func() error {
			_, err := c.PutObject(ctx, minioBucket, "b/stream", io.MultiReader(bytes.NewReader(big)), -1, minio.PutObjectOptions{PartSize: 5 << 20})
			return errors.Join(err, fetched(ctx, c, minioBucket, "b/stream", big))
		}},
		{operation: "StatObject", try: func() error {
			i, err := c.StatObject(ctx, minioBucket, "a/small", minio.StatObjectOptions{})
			if err != nil || i.Size != 3000 || i.ContentType != "text/x" || i.UserMetadata["Colour"] != "blue" {
				return fmt.Errorf("%+v, %v", i, err)
			}
			_, err = c.StatObject(ctx, minioBucket, "a/none", minio.StatObjectOptions{})
			if minio.ToErrorResponse(err).StatusCode != 404 {
				return fmt.Errorf("what is not there: %v", err)
			}
			return nil
		}},
		{operation: "GetObject, a range", try: func() error {
			o := minio.GetObjectOptions{}
			if err := o.SetRange(5<<20-3, 5<<20+3); err != nil {
				return err
			}
			r, _, _, err := core.GetObject(ctx, minioBucket, "b/big", o)
			if err != nil {
				return err
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if !bytes.Equal(got, big[5<<20-3:5<<20+4]) {
				return fmt.Errorf("%d bytes, %v", len(got), err)
			}
			return err
		}},
		{operation: "ListObjects of both versions", try: func() error { return listed(ctx, c, []string{"a/md5", "a/small", "b/big", "b/crc32", "b/stream"}) }},
		{operation: "CopyObject, ComposeObject", try: func() error {
			_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: minioBucket, Object: "copy"}, minio.CopySrcOptions{Bucket: minioBucket, Object: "b/big"})
			_, err2 := c.ComposeObject(ctx, minio.CopyDestOptions{Bucket: minioBucket, Object: "composed"}, minio.CopySrcOptions{Bucket: minioBucket, Object: "b/big"}, minio.CopySrcOptions{Bucket: minioBucket, Object: "a/small"})
			return errors.Join(err, err2, fetched(ctx, c, minioBucket, "copy", big), fetched(ctx, c, minioBucket, "composed", slices.Concat(big, small)))
		}},
		{operation: "NewMultipartUpload, ListObjectParts, ListMultipartUploads, AbortMultipartUpload", try: func() error {
			id, err := core.NewMultipartUpload(ctx, minioBucket, "begun", minio.PutObjectOptions{})
			if err != nil {
				return err
			}
			_, err = core.PutObjectPart(ctx, minioBucket, "begun", id, 3, bytes.NewReader(small), int64(len(small)), minio.PutObjectPartOptions{})
			parts, err2 := core.ListObjectParts(ctx, minioBucket, "begun", id, 0, 10)
			uploads, err3 := core.ListMultipartUploads(ctx, minioBucket, "", "", "", "", 10)
			if err := errors.Join(err, err2, err3); err != nil || len(parts.ObjectParts) != 1 || len(uploads.Uploads) != 1 || uploads.Uploads[0].UploadID != id {
				return fmt.Errorf("%v %+v %+v", err, parts, uploads)
			}
			return core.AbortMultipartUpload(ctx, minioBucket, "begun", id)
		}},
		{operation: "PresignedPutObject, PresignedGetObject", try: func() error { return presigned(ctx, c, small) }},
		{operation: "virtual hosts", try: func() error {
			v := p.connect(t, addr, true)
			_, err := v.PutObject(ctx, minioBucket, "virtual/ä b", bytes.NewReader(small), int64(len(small)), minio.PutObjectOptions{})
			return errors.Join(err, fetched(ctx, v, minioBucket, "virtual/ä b", small), fetched(ctx, c, minioBucket, "virtual/ä b", small))
		}},
		{operation: "RemoveObjects, RemoveBucket", try: func() error {
			for e := range c.RemoveObjects(ctx, minioBucket, c.ListObjects(ctx, minioBucket, minio.ListObjectsOptions{Recursive: true}), minio.RemoveObjectsOptions{}) {
				return e.Err
			}
			return c.RemoveBucket(ctx, minioBucket)
		}},
	}...)
}

// listed wants these objects below a/ and b/.
func listed(ctx context.Context, c *minio.Client, want []string) error {
	for _, o := range []minio.ListObjectsOptions{{Recursive: true}, {Recursive: true, UseV1: true}, {Recursive: true, MaxKeys: 2}, {Recursive: true, MaxKeys: 2, UseV1: true}} {
		var got []string
		for i := range c.ListObjects(ctx, minioBucket, o) {
			if i.Err != nil {
				return i.Err
			}
			if strings.HasPrefix(i.Key, "a/") || strings.HasPrefix(i.Key, "b/") {
				got = append(got, i.Key)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%+v: %q", o, got)
		}
	}
	return nil
}

func presigned(ctx context.Context, c *minio.Client, body []byte) error {
	to, err := c.PresignedPutObject(ctx, minioBucket, "presigned key", time.Minute)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != 200 {
		return fmt.Errorf("%v %v", res, err)
	}
	_ = res.Body.Close()
	from, err := c.PresignedGetObject(ctx, minioBucket, "presigned key", time.Minute, url.Values{"response-content-type": {"text/y"}})
	if err != nil {
		return err
	}
	if res, err = http.Get(from.String()); err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if !bytes.Equal(got, body) || res.Header.Get("Content-Type") != "text/y" {
		return fmt.Errorf("%d %q, %v", res.StatusCode, got, err)
	}
	return nil
}
