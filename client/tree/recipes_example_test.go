package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"viewring/client/tree"
)

// A queue: producers number their jobs, and each consumer takes the first that it can remove.
// Who dies after that has taken the job with it.
func Example_queue() {
	ctx, t := connect()
	defer t.Close()
	_, _ = t.Create(ctx, "/queue", nil)
	for _, job := range []string{"wash", "dry", "fold"} {
		if _, err := t.Create(ctx, "/queue/job-", []byte(job), tree.Sequential); err != nil {
			fmt.Println(err)
			return
		}
	}
	for range 3 {
		job, err := takeJob(ctx, t, "/queue")
		fmt.Printf("%s %v\n", job, err)
	}
	// Output:
	// wash <nil>
	// dry <nil>
	// fold <nil>
}

// takeJob removes the first node of a queue, waiting for one, and returns what it had.
func takeJob(ctx context.Context, t *tree.Tree, queue string) ([]byte, error) {
	w, err := t.Watch(ctx, queue, tree.Children, "") // before the look, so that nothing comes between
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for {
		var jobs []string
		for child, err := range t.List(ctx, queue) {
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, child.Path)
		}
		slices.Sort(jobs)
		for _, path := range jobs {
			n, err := t.Get(ctx, path)
			if err == nil {
				err = t.Remove(ctx, path, tree.IfModified(n.Stat.Modified))
			}
			switch {
			case err == nil:
				return n.Value, nil
			case !errors.Is(err, tree.ErrNoNode):
				return nil, err
			}
		}
		if _, err := w.Next(ctx); err != nil { // others took them all
			return nil, err
		}
	}
}

// A barrier: those who come wait until there are enough.
func Example_barrier() {
	ctx, t := connect()
	defer t.Close()
	_, _ = t.Create(ctx, "/barrier", nil)
	var arrived sync.WaitGroup
	for range 3 {
		arrived.Go(func() {
			if err := meet(ctx, t, "/barrier", 3); err != nil {
				fmt.Println(err)
			}
		})
	}
	arrived.Wait()
	s, err := t.Stat(ctx, "/barrier")
	fmt.Println(s.Children, err)
	// Output: 3 <nil>
}

// meet waits until so many have met below a node.
func meet(ctx context.Context, t *tree.Tree, barrier string, n int64) error {
	w, err := t.Watch(ctx, barrier, tree.Children, "")
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := t.Create(ctx, barrier+"/guest-", nil, tree.Sequential); err != nil {
		return err
	}
	for {
		s, err := t.Stat(ctx, barrier)
		if err != nil || s.Children >= n {
			return err
		}
		if _, err := w.Next(ctx); err != nil {
			return err
		}
	}
}
