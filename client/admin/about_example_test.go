package admin_test

import (
	"fmt"
	"time"

	"viewring/client/admin"
)

func ExampleAboutViewLeader() {
	ctx, c := open()
	defer c.Close()

	about, err := admin.AboutViewLeader(ctx, options().Leaders[0], nil)
	fmt.Println(about.Ahead.Abs() < time.Minute, err)
	// Output: true <nil>
}

// What build a server is, and whether its clock is right.
func ExampleServer_About() {
	ctx, c := open()
	defer c.Close()
	s, err := admin.DialServer(ctx, c.View().Members[0].Addr, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	about, err := s.About(ctx)
	fmt.Println(about.Ahead.Abs() < time.Minute, err)
	// Output: true <nil>
}
