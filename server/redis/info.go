package redis

import (
	"fmt"
	"strconv"
	"strings"

	"viewring/internal/wire"
)

// Section is a part of INFO; Text is called only where it is asked for.
type Section struct {
	Name string
	Text func() string // lines that end in \r\n
}

// Info is INFO [section …] of these sections.
func Info(sections []Section, args [][]byte) wire.Value {
	all := len(args) == 0
	wanted := make(map[string]bool)
	for _, a := range args {
		name := strings.ToLower(string(a))
		all = all || name == "all" || name == "everything" || name == "default"
		wanted[name] = true
	}
	var b strings.Builder
	for _, s := range sections {
		if all || wanted[strings.ToLower(s.Name)] {
			if b.Len() > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString("# " + s.Name + "\r\n" + s.Text())
		}
	}
	return Verbatim(b.String())
}

// InfoServer is the lines of INFO's first section that a server and a gateway share.
func (f *Front) InfoServer() string {
	up := f.Now().Sub(f.Started)
	return fmt.Sprintf("redis_version:%s\r\nredis_mode:%s\r\nos:%s\r\narch_bits:%d\r\nprocess_id:%d\r\ntcp_port:%d\r\nuptime_in_seconds:%d\r\nuptime_in_days:%d\r\n",
		Version, f.Mode, f.System, strconv.IntSize, f.Process, f.Port, int(up.Seconds()), int(up.Hours()/24))
}
