package wire

import (
	"reflect"
	"testing"
	"time"

	"viewring/viewleader/vocab"
)

// FuzzAbout: what is decoded is encoded as the same.
func FuzzAbout(f *testing.F) {
	f.Add(AppendAbout(nil, &About{Version: "v1", At: time.UnixMicro(7), Files: 3, FilesMax: 1024, SlowSync: time.Second, SlowSyncAt: time.UnixMicro(5),
		Unlinked: []vocab.UnlinkedPeer{{ID: 2, Why: 1, Since: time.UnixMicro(4), Text: "refused"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAbout(b)
		if err != nil {
			return
		}
		if again, err := DecodeAbout(AppendAbout(nil, &a)); err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%+v came back as %+v, %v", a, again, err)
		}
	})
}
