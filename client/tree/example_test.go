package tree_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"viewring/client"
	"viewring/client/tree"
	"viewring/tests/local"
)

// The examples share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

func options() client.Options { return cluster().Options() }

// connect opens the tree, for examples that are not about that.
func connect() (context.Context, *tree.Tree) {
	t, err := tree.Open(context.Background(), options())
	if err != nil {
		panic(err)
	}
	return context.Background(), t
}

func Example() {
	ctx := context.Background()
	t, err := tree.Open(ctx, options()) // client.Options{Leaders: []string{"localhost:28500"}}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Close()
	if _, err := t.Create(ctx, "/config/limits", []byte("100"), tree.Parents); err != nil {
		fmt.Println(err)
		return
	}
	n, err := t.Get(ctx, "/config/limits")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, set %d times\n", n.Value, n.Stat.Version)
	_, err = t.Get(ctx, "/config/colors")
	fmt.Println(errors.Is(err, tree.ErrNoNode))
	// Output:
	// 100, set 0 times
	// true
}

// Numbers are never given twice below a node, also after their nodes are removed.
func ExampleSequential() {
	ctx, t := connect()
	defer t.Close()

	for range 2 {
		path, err := t.Create(ctx, "/jobs/job-", []byte("print"), tree.Sequential, tree.Parents)
		fmt.Println(path, err)
	}
	if err := t.Remove(ctx, "/jobs/job-0000000001", tree.Always()); err != nil {
		fmt.Println(err)
	}
	path, err := t.Create(ctx, "/jobs/job-", nil, tree.Sequential)
	fmt.Println(path, err)
	// Output:
	// /jobs/job-0000000000 <nil>
	// /jobs/job-0000000001 <nil>
	// /jobs/job-0000000002 <nil>
}

func ExampleTree_Set() {
	ctx, t := connect()
	defer t.Close()

	if _, err := t.Create(ctx, "/leader", []byte("s1")); err != nil {
		fmt.Println(err)
		return
	}
	n, err := t.Get(ctx, "/leader")
	if err != nil {
		fmt.Println(err)
		return
	}
	version, err := t.Set(ctx, "/leader", []byte("s2"), tree.IfVersion(n.Stat.Version))
	fmt.Println(version, err)
	_, err = t.Set(ctx, "/leader", []byte("s3"), tree.IfVersion(n.Stat.Version))
	fmt.Println(errors.Is(err, tree.ErrBadVersion))
	// Output:
	// 1 <nil>
	// true
}

func ExampleTree_List() {
	ctx, t := connect()
	defer t.Close()

	for _, name := range []string{"ada", "bea", "cyd"} {
		if _, err := t.Create(ctx, "/members/"+name, nil, tree.Parents); err != nil {
			fmt.Println(err)
			return
		}
	}
	var names []string
	for name, err := range t.Names(ctx, "/members") {
		if err != nil {
			fmt.Println(err)
			return
		}
		names = append(names, name)
	}
	slices.Sort(names) // they come in no order
	s, err := t.Stat(ctx, "/members")
	fmt.Println(names, s.Children, err)
	// Output: [ada bea cyd] 3 <nil>
}

func ExampleTree_RemoveAll() {
	ctx, t := connect()
	defer t.Close()

	for _, path := range []string{"/old/a/b", "/old/a/c", "/old/d"} {
		if _, err := t.Create(ctx, path, nil, tree.Parents); err != nil {
			fmt.Println(err)
			return
		}
	}
	err := t.Remove(ctx, "/old", tree.Always())
	fmt.Println("not empty:", errors.Is(err, tree.ErrNotEmpty))
	gone := 0
	err = t.RemoveAll(ctx, "/old", func(nodes int) { gone = nodes })
	fmt.Println(gone, "removed:", err)
	// Output:
	// not empty: true
	// 5 removed: <nil>
}

func ExampleTree_Multi() {
	ctx, t := connect()
	defer t.Close()

	if _, err := t.Create(ctx, "/accounts/ann", []byte("10"), tree.Parents); err != nil {
		fmt.Println(err)
		return
	}
	paths, err := t.Multi(ctx, "/accounts",
		tree.CheckChild("ann", tree.IfVersion(0)),
		tree.SetChild("ann", []byte("7"), tree.Always()),
		tree.CreateChild("ben", []byte("3")))
	fmt.Println(paths, err)

	_, err = t.Multi(ctx, "/accounts",
		tree.SetChild("ann", []byte("0"), tree.Always()),
		tree.CreateChild("ben", []byte("10")))
	var which *tree.MultiError
	fmt.Println(errors.As(err, &which), which.Index, errors.Is(err, tree.ErrNodeExists))
	n, err := t.Get(ctx, "/accounts/ann")
	fmt.Println(string(n.Value), err)
	// Output:
	// [/accounts/ann /accounts/ann /accounts/ben] <nil>
	// true 1 true
	// 7 <nil>
}
