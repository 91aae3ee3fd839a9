package s3

import (
	"net"
	"strings"

	"viewring/internal/tree"
)

const (
	// folderMarker is the name of the file that is the object at a key that ends with a slash, in
	// that directory.
	folderMarker = ".s3-folder"

	keyBytesMax = 1024 // as in S3
)

// pathOf is the path of the file that an object is. What is wrong with a key that can't be one is the error: keys are
// paths, with a name between each two slashes.
func pathOf(bucket, key string) (string, error) {
	if len(key) > keyBytesMax {
		return "", errKeyTooLong
	}
	name := key
	if strings.HasSuffix(key, "/") {
		name += folderMarker
	} else if key == folderMarker || strings.HasSuffix(key, "/"+folderMarker) {
		return "", errInvalidArgument.because("The name %s is that of folders, at keys that end with a slash.", folderMarker)
	}
	path := "/" + bucket + "/" + name
	if err := tree.Check(path); err != nil {
		return "", errInvalidArgument.because("This key can't be kept, for keys are paths: %v.", err)
	}
	return path, nil
}

// parents are the directories between a bucket and a path, the upper ones before.
func parents(path string) (dirs []string) {
	bucket := strings.IndexByte(path[1:], '/') + 1
	for i := bucket + 1; i < len(path); i++ {
		if path[i] == '/' {
			dirs = append(dirs, path[:i])
		}
	}
	return dirs
}

// virtual returns the bucket that a host stands for, if it is a domain of S3 or below one.
func (h *Handler) virtual(host string) (bucket string, ok bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range h.domains {
		if host == domain {
			return "", true
		}
		if bucket, ok := strings.CutSuffix(host, "."+domain); ok {
			return bucket, true
		}
	}
	return "", false
}

// resource is the bucket and the key that a request is about.
func (h *Handler) resource(host, path string) (bucket, key string) {
	path = strings.TrimPrefix(path, "/")
	if bucket, _ := h.virtual(host); bucket != "" {
		return bucket, path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// escape encodes a name for URLs, as encoding-type=url asks for: all but unreserved characters (RFC 3986, 2.3) and slashes.
func escape(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	return b.String()
}
