package admin

import (
	"context"
	"fmt"
	"iter"
	"net"
	"strconv"
	"strings"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

// Server talks to one server, for what is its own: its console, its local
// namespace, what its store holds. Any number of goroutines may use it.
type Server struct {
	conn *wire.Conn
}

const pageItems = 1000

// DialServer connects to the server at addr. A nil dial is net.Dialer's.
func DialServer(ctx context.Context, addr string, dial client.DialFunc) (*Server, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := wire.Dial(ctx, addr, dial, wire.DefaultLimits)
	if err != nil {
		return nil, route.Failed(ctx, "server "+addr, err)
	}
	return &Server{conn: conn}, nil
}

// Close ends the connection.
func (s *Server) Close() error { return s.conn.Close() }

// Ping waits for the server's answer to nothing in particular.
func (s *Server) Ping(ctx context.Context) error {
	_, err := s.do(ctx, "PING")
	return err
}

// Print makes the server print text on its console.
func (s *Server) Print(ctx context.Context, text string) error {
	_, err := s.do(ctx, wire.CmdPrint, text)
	return err
}

// Set writes a name in the server's own namespace, which is never replicated.
func (s *Server) Set(ctx context.Context, name string, value []byte) error {
	_, err := s.do(ctx, wire.CmdLSet, name, string(value))
	return err
}

// Get reads a name from the server's own namespace. An absent one is client.ErrNotFound.
func (s *Server) Get(ctx context.Context, name string) ([]byte, error) {
	v, err := s.do(ctx, wire.CmdLGet, name)
	if err == nil && v.IsNil() {
		return nil, &route.Error{Op: fmt.Sprintf("get %q from %s", name, s.conn.Addr()), Kind: client.ErrNotFound}
	}
	return v.Bytes, err
}

// StoredName is a name that a server's store holds.
type StoredName struct {
	Local bool // in the server's own namespace; else a replicated key
	Name  string
}

// Names lists the names in the server's store. The first error ends it.
func (s *Server) Names(ctx context.Context) iter.Seq2[StoredName, error] {
	return func(yield func(StoredName, error) bool) {
		cursor := ""
		for {
			v, err := s.do(ctx, wire.CmdKeys, cursor, strconv.Itoa(pageItems))
			var page wire.KeysPage
			if err == nil {
				page, err = wire.DecodeKeysPage(v.Bytes)
			}
			if err != nil {
				yield(StoredName{}, err)
				return
			}
			for _, n := range page.Names {
				if !yield(StoredName(n), nil) {
					return
				}
			}
			if cursor = string(page.Next); cursor == "" {
				return
			}
		}
	}
}

// Copy is one server's copy of a user key, as read from its store now.
type Copy struct {
	Key     string
	Version client.Version
	Length  uint64
	Sum     uint64 // xxhash64 of the value's bytes, computed for this answer
	Corrupt bool   // the stored bytes fail their checksum
}

// Partitions lists the partitions that the server's store holds any key of.
func (s *Server) Partitions(ctx context.Context) ([]ring.PartitionID, error) {
	v, err := s.do(ctx, wire.CmdParts)
	if err != nil {
		return nil, err
	}
	return wire.DecodeParts(v.Bytes)
}

// Copies lists the user keys that the server holds in a partition, whatever its
// role for it. The first error ends it.
func (s *Server) Copies(ctx context.Context, p ring.PartitionID) iter.Seq2[Copy, error] {
	return func(yield func(Copy, error) bool) {
		cursor := ""
		for {
			v, err := s.do(ctx, wire.CmdCopies, strconv.FormatUint(uint64(p), 10), cursor, strconv.Itoa(pageItems))
			var page wire.CopiesPage
			if err == nil {
				page, err = wire.DecodeCopiesPage(v.Bytes)
			}
			if err != nil {
				yield(Copy{}, err)
				return
			}
			for _, k := range page.Copies {
				if !yield(Copy{k.Key, client.Version{Term: k.Term, Seq: k.Seq}, k.Length, k.Sum, k.Corrupt}, nil) {
					return
				}
			}
			if cursor = string(page.Next); cursor == "" {
				return
			}
		}
	}
}

// Look reads and verifies the server's own copy of a piece of a file, of which file.Piece has the name; the Key of
// the answer is not told. One that it does not have is client.ErrNotFound. A damaged one is repaired from
// other servers after that.
func (s *Server) Look(ctx context.Context, piece []byte) (Copy, error) {
	v, err := s.do(ctx, wire.CmdLook, string(piece))
	if err != nil {
		return Copy{}, err
	}
	p, err := wire.DecodeLookReply(v.Bytes)
	switch {
	case err != nil:
		return Copy{}, route.Failed(ctx, "look "+s.conn.Addr(), err)
	case !p.Found && !p.Corrupt:
		return Copy{}, &route.Error{Op: "look at a piece of a file on " + s.conn.Addr(), Kind: client.ErrNotFound}
	}
	return Copy{Version: client.Version(p.Version), Length: uint64(p.Length), Sum: p.Sum, Corrupt: p.Corrupt}, nil
}

// Info returns the lines of the server's INFO, by their names: of all sections, or of some.
func (s *Server) Info(ctx context.Context, sections ...string) (map[string]string, error) {
	v, err := s.do(ctx, "INFO", sections...)
	if err != nil {
		return nil, err
	}
	lines := make(map[string]string)
	for line := range strings.SplitSeq(string(v.Bytes), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[name] = value
		}
	}
	return lines, nil
}

func (s *Server) do(ctx context.Context, command string, args ...string) (wire.Value, error) {
	all := make([][]byte, 0, 1+len(args))
	all = append(all, []byte(command))
	for _, a := range args {
		all = append(all, []byte(a))
	}
	v, err := s.conn.Do(ctx, all...)
	return v, route.Failed(ctx, "server "+s.conn.Addr(), err)
}
