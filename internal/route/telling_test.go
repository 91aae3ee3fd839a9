package route

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFirstCause: where what answers at first is no view leader, and then nobody answers
// any more, the error says the former.
func TestFirstCause(t *testing.T) {
	t.Parallel()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	go func() {
		for n := 0; ; n++ {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			if n == 0 {
				_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				_ = nc.Close()
			}
		}
	}()
	_, err = Open(t.Context(), Options{Leaders: []string{lis.Addr().String()}, ConnectTimeout: 300 * time.Millisecond,
		ViewCache: filepath.Join(t.TempDir(), "view")})
	if err == nil || strings.Contains(err.Error(), "no answer in time") {
		t.Fatalf("%v, which does not say what answered", err)
	}
}
