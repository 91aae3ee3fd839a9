package s3

import (
	"bufio"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"viewring/client"
	"viewring/client/file"
)

func (q *request) uploadPart() error {
	n, err := q.partNumber()
	if err != nil {
		return err
	}
	b, err := q.openBody()
	if err != nil {
		return err
	}
	u, err := q.upload(q.query.Get("uploadId"))
	if err != nil {
		return err
	}
	i, err := q.putPart(b, &u, n)
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", etagOf(&i))
	q.tellSums(&i)
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// putPart stores a part. Its directory is there for as long as the upload is.
func (q *request) putPart(b *body, u *upload, n int) (file.Info, error) {
	i, err := q.put(b, u.part(n), file.Attributes{Meta: map[string]string{}}, file.PutOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoSuchUpload
	}
	return i, err
}

func (q *request) uploadPartCopy() error {
	n, err := q.partNumber()
	if err == nil {
		err = q.drain()
	}
	if err != nil {
		return err
	}
	u, err := q.upload(q.query.Get("uploadId"))
	if err != nil {
		return err
	}
	from, err := q.source()
	if err != nil {
		return err
	}
	f, err := q.h.files.OpenFile(q.ctx, from.Path)
	if err != nil {
		return q.noObject(strings.Split(from.Path, "/")[1], err)
	}
	defer f.Close()
	i := f.Info()
	if i.Modified != from.Modified { // what the conditions were looked at with is replaced
		return errSlowDown
	}
	a, b := int64(0), i.Bytes
	if text := q.r.Header.Get("X-Amz-Copy-Source-Range"); text != "" {
		if a, b, err = copyRange(text, i.Bytes); err != nil {
			return err
		}
	}
	return q.holding(func() (any, error) {
		// The ETag is the MD5 of the part: so the bytes are read.
		r := bufio.NewReaderSize(io.NewSectionReader(f, a, b-a), copyBuffer)
		i, err := q.putPart(&body{r: r, want: b - a, md5: md5.New()}, &u, n)
		return copyResult{XMLName: xml.Name{Local: "CopyPartResult"}, ETag: etagOf(&i), LastModified: at(q.h.now())}, err
	})
}

// copyBuffer is how many bytes of a source are read at once.
const copyBuffer = 1 << 20

// copyRange reads x-amz-copy-source-range: both ends must be there, and within the source.
func copyRange(text string, size int64) (from, to int64, err error) {
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	a, errA := strconv.ParseUint(first, 10, 62)
	b, errB := strconv.ParseUint(last, 10, 62)
	if !ok || !strings.HasPrefix(text, "bytes=") || errors.Join(errA, errB) != nil || a > b || int64(b) >= size {
		return 0, 0, errInvalidArgument.because("The x-amz-copy-source-range value must be of the form bytes=first-last, with both within the source.")
	}
	return int64(a), int64(b) + 1, nil
}

// listed is a part as Complete lists it.
type listed struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

func (l *listed) sums() map[string]string {
	return map[string]string{"crc32": l.ChecksumCRC32, "crc32c": l.ChecksumCRC32C, "crc64nvme": l.ChecksumCRC64NVME, "sha1": l.ChecksumSHA1, "sha256": l.ChecksumSHA256}
}

// md5 is what the ETag says.
func (l *listed) md5() []byte {
	b, err := hex.DecodeString(strings.Trim(l.ETag, `"`))
	if err != nil || len(b) != md5.Size {
		return nil
	}
	return b
}

// completion is a Complete that is being carried out.
type completion struct {
	id    string
	parts []listed
	etag  string // of the object
	sums  []objectSum
	found []file.Info
}

func (q *request) completeUpload() error {
	c := &completion{id: q.query.Get("uploadId")}
	sums, err := objectSums(q.r.Header)
	if err != nil {
		return err
	}
	c.sums = sums
	for i := range sums { // they are not of the XML
		q.r.Header.Del(checksumHeader + sums[i].name)
	}
	var in struct{ Part few[listed] }
	in.Part.most = partsMax
	if err := q.readXML(&in); err != nil {
		return err
	}
	if c.parts = in.Part.all; len(c.parts) == 0 {
		return errMalformedXML.because("1 to %d parts make an object.", partsMax)
	}
	if err := c.tag(); err != nil {
		return err
	}
	u, err := q.upload(c.id)
	if errors.Is(err, errNoSuchUpload) || err == nil && q.h.isCompleted(q.ctx, &u) {
		return q.completedBefore(c, &u, err)
	}
	if err != nil {
		return err
	}
	done, err := q.take(roomMax)
	if err != nil {
		return err
	}
	defer done()
	return q.holding(func() (any, error) { return q.complete(c, &u) })
}

// tag makes the ETag of the object: the MD5 of the MD5s of its parts, and their number.
func (c *completion) tag() error {
	sum := md5.New()
	for i := range c.parts {
		p := &c.parts[i]
		if i > 0 && p.PartNumber <= c.parts[i-1].PartNumber {
			return errInvalidPartOrder
		}
		b := p.md5()
		if b == nil || p.PartNumber < 1 || p.PartNumber > partsMax {
			return errInvalidPart.because("Part %d: the number or the ETag is none that was told.", p.PartNumber)
		}
		sum.Write(b)
	}
	c.etag = fmt.Sprintf("%x-%d", sum.Sum(nil), len(c.parts))
	return nil
}

// completedBefore answers a Complete that is sent again, since its first answer was lost.
func (q *request) completedBefore(c *completion, u *upload, absent error) error {
	if !q.isOf(c) {
		if absent != nil {
			return absent
		}
		return errNoSuchUpload
	}
	if absent == nil {
		q.tidy(u)
	}
	q.reply(http.StatusOK, q.completed(c))
	return nil
}

// isOf tells whether the object is the one of a Complete.
func (q *request) isOf(c *completion) bool {
	i, err := q.h.files.Stat(q.ctx, q.path)
	return err == nil && i.Attributes.Meta[metaUpload] == c.id && etagOf(&i) == quoted(c.etag)
}

// tidy ends an upload whose object is complete. Where that fails the sweep does it.
func (q *request) tidy(u *upload) {
	if err := q.h.end(q.ctx, u); err != nil {
		q.h.log.Warn("s3: the parts of an object that is complete are not removed yet", "request", q.id, "upload", u.id, "err", err)
	}
}

type completeResult struct {
	XMLName  xml.Name `xml:"CompleteMultipartUploadResult"`
	Xmlns    string   `xml:"xmlns,attr"`
	Location string
	Bucket   string
	Key      string
	ETag     string
}

func (q *request) completed(c *completion) completeResult {
	scheme := "http"
	if q.r.TLS != nil {
		scheme = "https"
	}
	return completeResult{Xmlns: xmlns, Location: scheme + "://" + q.r.Host + escape(q.r.URL.Path), Bucket: q.bucket, Key: q.key, ETag: quoted(c.etag)}
}

// complete puts the object together, and ends the upload. Where another Complete has done it meanwhile, that is as good.
func (q *request) complete(c *completion, u *upload) (any, error) {
	if err := q.replace(c, u); err != nil && !q.isOf(c) {
		return nil, err
	}
	q.tidy(u)
	return q.completed(c), nil
}

// replace puts the object together. It replaces the old one at one instant.
func (q *request) replace(c *completion, u *upload) error {
	if err := q.hasBucket(); err != nil {
		return err
	}
	var asked file.PutOptions
	if u.mark() == "" { // else the conditions held once, and a repetition is decided by the mark
		if err := q.writeCondition(&asked); err != nil {
			return err
		}
	}
	if err := q.haveParts(c, u); err != nil {
		return err
	}
	for range roomAttempts {
		found := u.mark()
		m, err := q.markFor(found, asked)
		if err == nil {
			err = q.concat(c, u, m)
		}
		switch changed := m.isBroken(err); {
		case err == nil:
			return nil
		case errors.Is(err, errMarked):
			again, err := q.upload(u.id)
			if err != nil {
				return err
			}
			*u = again
		case changed && found != "": // it was put together, and replaced since
			q.tidy(u)
			return errNoSuchUpload
		case found == "" && (changed || isFault(err)):
			if gone := q.unmark(u); gone != nil {
				return gone
			}
			if !changed || asked.IfAbsent || asked.IfModified != (client.Version{}) {
				return err
			}
		default: // it may have been done
			return err
		}
	}
	return errSlowDown
}

// concat puts the object together where it is what the mark says. The mark is made before.
func (q *request) concat(c *completion, u *upload, m mark) error {
	names := make([]string, len(c.parts))
	for i := range c.parts {
		names[i] = u.part(c.parts[i].PartNumber)
	}
	c.found = make([]file.Info, len(c.parts))
	opts := file.PutOptions{IfAbsent: m.absent, IfModified: m.modified}
	opts.Part = func(n int, i file.Info) error { // of just those bytes that are put together
		c.found[n] = i
		return q.h.checkPart(&c.parts[n], &i, n == len(c.parts)-1)
	}
	opts.Seal = func(i file.Info) (file.Attributes, error) {
		if text := q.r.Header.Get("X-Amz-Mp-Object-Size"); text != "" && text != strconv.FormatInt(i.Bytes, 10) {
			return file.Attributes{}, errInvalidRequest.because("The parts have %d bytes, and not %.20q as x-amz-mp-object-size says.", i.Bytes, text)
		}
		a := u.attributes
		a.Meta = maps.Clone(a.Meta)
		if err := c.verify(&a); err != nil {
			return a, err
		}
		a.Meta[metaETag], a.Meta[metaUpload], a.SourceTime = c.etag, u.id, q.h.now()
		return a, q.mark(u, m)
	}
	_, err := q.store(func() bool { return m.modified != client.Version{} }, func() (file.Info, error) { return q.h.files.Concat(q.ctx, q.path, names, opts) })
	return err
}

// checkPart looks whether a part is what was listed.
func (h *Handler) checkPart(p *listed, i *file.Info, last bool) error {
	if etagOf(i) != quoted(hex.EncodeToString(p.md5())) {
		return errInvalidPart.because("Part %d has another ETag: it was uploaded again.", p.PartNumber)
	}
	for name, sum := range p.sums() {
		if has := i.Attributes.Meta[metaSum+name]; sum != "" && has != sum {
			return errInvalidPart.because("Part %d has another checksum, or none was sent with it.", p.PartNumber)
		}
	}
	if !last && i.Bytes < h.partMin {
		return errEntityTooSmall
	}
	return nil
}

// haveParts looks whether all parts are there. What they are is looked at when they are put together.
func (q *request) haveParts(c *completion, u *upload) error {
	there, err := q.partsOf(u)
	if err != nil {
		return err
	}
	for n := range c.parts {
		number := c.parts[n].PartNumber
		if _, ok := slices.BinarySearchFunc(there, number, func(h part, number int) int { return h.number - number }); !ok {
			return errInvalidPart.because("Part %d was not uploaded.", number)
		}
	}
	return nil
}

// part is one that was uploaded.
type part struct {
	number int
	file.Info
}

// partsOf returns the parts of an upload in order: up to 10,000.
func (q *request) partsOf(u *upload) (parts []part, err error) {
	for i, err := range q.h.files.List(q.ctx, u.parts) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNoSuchUpload
		}
		if err != nil {
			return nil, err
		}
		if n, err := strconv.Atoi(i.Name()); err == nil && !i.Dir && len(parts) < partsMax {
			parts = append(parts, part{n, i})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return a.number - b.number })
	return parts, nil
}

func (q *request) listParts() error {
	most, err := q.number("max-parts", keysMax)
	if err != nil {
		return err
	}
	after := 0
	if text := q.query.Get("part-number-marker"); text != "" {
		if after, err = strconv.Atoi(text); err != nil || after < 0 {
			return errInvalidArgument.because("part-number-marker must be a number.")
		}
	}
	u, err := q.upload(q.query.Get("uploadId"))
	if err != nil {
		return err
	}
	parts, err := q.partsOf(&u)
	if err != nil {
		return err
	}
	type one struct {
		PartNumber   int
		LastModified string
		ETag         string
		Size         int64
	}
	out := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		Xmlns                string   `xml:"xmlns,attr"`
		Bucket               string
		Key                  string
		UploadID             string `xml:"UploadId"`
		Initiator            owner
		Owner                owner
		StorageClass         string
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		Part                 []one
	}{Xmlns: xmlns, Bucket: q.bucket, Key: q.key, UploadID: u.id, Initiator: theOwner, Owner: theOwner, StorageClass: storageClass, PartNumberMarker: after, MaxParts: most}
	for i := range parts {
		p := &parts[i]
		if p.number <= after {
			continue
		}
		if len(out.Part) == most {
			out.IsTruncated = most > 0 // a page of none leads nowhere
			break
		}
		out.Part = append(out.Part, one{p.number, at(p.ModifiedAt), etagOf(&p.Info), p.Bytes})
		out.NextPartNumberMarker = p.number
	}
	q.reply(http.StatusOK, out)
	return nil
}

// decoded returns the checksum of a part that was kept, nil if there is none.
func decoded(i *file.Info, a *algorithm) []byte {
	b, err := base64.StdEncoding.DecodeString(i.Attributes.Meta[metaSum+a.name])
	if err != nil || len(b) != a.bytes {
		return nil
	}
	return b
}
