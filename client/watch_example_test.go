package client_test

import (
	"fmt"

	"viewring/client"
)

func ExampleClient_Watch() {
	ctx, c := connect()
	defer c.Close()
	w, err := c.Watch(ctx, "door", client.WatchOptions{Values: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	go func() { // somebody else
		_, _ = c.Set(ctx, "door", []byte("open"), client.Always())
		_, _ = c.Set(ctx, "door", []byte("shut"), client.Always())
		_ = c.Delete(ctx, "door", client.Always())
	}()
	for event, err := range w.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %s\n", event.Change, event.Value)
		if event.Change == client.Deleted {
			break
		}
	}
	// Output:
	// set open
	// set shut
	// deleted
}

// A program that follows all keys with a prefix, and goes on after a restart where it was.
func ExampleWatch_Token() {
	ctx, c := connect()
	defer c.Close()
	options := client.WatchOptions{Prefix: true}
	w, err := c.Watch(ctx, "job:", options)
	if err != nil {
		fmt.Println(err)
		return
	}
	options.From = w.Token() // to be kept in a file
	w.Close()

	_, _ = c.Set(ctx, "job:1", []byte("sweep"), client.Always()) // while nobody watches

	w, err = c.Watch(ctx, "job:", options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	event, err := w.Next(ctx)
	fmt.Println(event.Change, event.Key, err)
	// Output: set job:1 <nil>
}

// Reading, and following from there: nothing is lost between the two.
func ExampleTokenOf() {
	ctx, c := connect()
	defer c.Close()
	version, _ := c.Set(ctx, "setting", []byte("a"), client.Always())
	value, _ := c.Get(ctx, "setting")
	_, _ = c.Set(ctx, "setting", []byte("b"), client.Always())
	w, err := c.Watch(ctx, "setting", client.WatchOptions{From: client.TokenOf(value.Version), Values: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	event, err := w.Next(ctx)
	fmt.Printf("%v %s %v %v\n", event.Change, event.Value, value.Version == version, err)
	// Output: set b true <nil>
}

// Waiting for the next state of a key.
func ExampleClient_Await() {
	ctx, c := connect()
	defer c.Close()
	version, _ := c.Set(ctx, "light", []byte("red"), client.Always())
	go func() { _, _ = c.Set(ctx, "light", []byte("green"), client.Always()) }() // somebody else
	value, err := c.Await(ctx, "light", version)
	fmt.Printf("%s %v\n", value.Bytes, err)
	// Output: green <nil>
}
