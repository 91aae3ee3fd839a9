package admin_test

import (
	"fmt"

	"viewring/client/admin"
)

// How long requests took in a server since it started: counts of two moments, subtracted, are those between
// them.
func ExampleServer_Times() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	before, err := s.Times(ctx)
	if err == nil {
		err = s.Ping(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	after, err := s.Times(ctx)
	now, then := after["ping"], before["ping"]
	took := now.Since(&then)
	fmt.Println(took.Percentile(99) > 0)
	// Output: true
}
