package tree_test

import (
	"fmt"

	"viewring/client/tree"
)

// Configuration that follows: read, and again whenever something below the node changes.
func ExampleTree_Watch() {
	ctx, t := connect()
	defer t.Close()
	if _, err := t.Create(ctx, "/service/limits/memory", []byte("1"), tree.Parents); err != nil {
		fmt.Println(err)
		return
	}
	w, err := t.Watch(ctx, "/service", tree.AllBelow, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	// What is read here, and all that is told, leaves nothing out.
	go func() { // somebody else
		_, _ = t.Set(ctx, "/service/limits/memory", []byte("2"), tree.Always())
		_, _ = t.Create(ctx, "/service/limits/disk", []byte("3"))
		_ = t.Remove(ctx, "/service/limits/memory", tree.Always())
	}()
	for event, err := range w.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(event.Kind, " ", event.Path)
		if event.Node != nil {
			fmt.Printf(" %s", event.Node.Value)
		}
		fmt.Println()
		if event.Kind == tree.Removed {
			break
		}
	}
	// Output:
	// set /service/limits/memory 2
	// created /service/limits/disk 3
	// removed /service/limits/memory
}

// Group membership: who is there, and who comes and goes.
func ExampleWatch_Next() {
	ctx, t := connect()
	defer t.Close()
	_, _ = t.Create(ctx, "/group", nil)
	w, err := t.Watch(ctx, "/group", tree.Children, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	_, _ = t.Create(ctx, "/group/alice", nil)
	_, _ = t.Create(ctx, "/group/alice/phone", nil) // below a child: not told
	_ = t.Remove(ctx, "/group/alice/phone", tree.Always())
	_ = t.Remove(ctx, "/group/alice", tree.Always())
	for range 2 {
		event, err := w.Next(ctx)
		fmt.Println(event.Kind, event.Path, err)
	}
	// Output:
	// created /group/alice <nil>
	// removed /group/alice <nil>
}
