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
