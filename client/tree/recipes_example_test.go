package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"viewring/client"
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
		for name, err := range t.Names(ctx, queue) {
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, queue+"/"+name)
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

// Leader election: candidates queue up, each watches the one before it, and whoever is first
// leads. When a candidate's session ends its node goes, and the next is told. What the leader does
// must not outlast its session: see client.Session.Until, and locks with fences for what has
// to be certain.
func Example_election() {
	ctx, t := connect()
	defer t.Close()
	c, err := client.Open(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, _ = t.Create(ctx, "/election", nil)
	for _, name := range []string{"ann", "bob"} {
		s, err := c.OpenSession(ctx, client.SessionOptions{})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := lead(ctx, t, s, "/election", name); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name, "leads")
		_ = s.Close(ctx) // its term is over
	}
	// Output:
	// ann leads
	// bob leads
}

// lead returns once the candidate is the leader, until its session ends.
func lead(ctx context.Context, t *tree.Tree, s *client.Session, election, name string) error {
	mine, err := t.CreateEphemeral(ctx, s, election+"/candidate-", []byte(name), tree.Sequential)
	if err != nil {
		return err
	}
	for {
		before := ""
		for child, err := range t.List(ctx, election) {
			switch {
			case err != nil:
				return err
			case child.Path < mine && child.Path > before:
				before = child.Path
			}
		}
		if before == "" {
			return s.Err()
		}
		if err := awaitRemoval(ctx, t, before); err != nil {
			return err
		}
	}
}

// awaitRemoval waits until a node is gone.
func awaitRemoval(ctx context.Context, t *tree.Tree, path string) error {
	w, err := t.Watch(ctx, path, tree.ThisNode, "")
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		if _, err := t.Get(ctx, path); errors.Is(err, tree.ErrNoNode) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := w.Next(ctx); err != nil {
			return err
		}
	}
}

// Group membership: each member has a node that goes with its session, and whoever watches
// the group is told who comes and goes.
func Example_members() {
	ctx, t := connect()
	defer t.Close()
	c, err := client.Open(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, _ = t.Create(ctx, "/group", nil)
	w, err := t.Watch(ctx, "/group", tree.Children, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	s, err := c.OpenSession(ctx, client.SessionOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := t.CreateEphemeral(ctx, s, "/group/ann", nil); err != nil {
		fmt.Println(err)
		return
	}
	e, err := w.Next(ctx)
	fmt.Println(e.Path, e.Kind, err)
	_ = s.Close(ctx) // or it dies
	e, err = w.Next(ctx)
	fmt.Println(e.Path, e.Kind, err)
	// Output:
	// /group/ann created <nil>
	// /group/ann removed <nil>
}
