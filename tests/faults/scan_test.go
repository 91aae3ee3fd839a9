package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/tests/harness"
)

const (
	scanKeys     = 2000
	scanRounds   = 4
	bankAccounts = 6
	bankMoney    = 100 // in each
	bankClerks   = 4
)

func account(n int) string { return fmt.Sprintf("{bank}%d", n) }

// balances reads all accounts by a transaction.
func balances(tx *client.Tx) (all []int, err error) {
	for i := range bankAccounts {
		v, err := tx.Get(account(i))
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(string(v.Bytes))
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// clerk moves money by transactions, and adds one to a counter in each. It counts those that were done.
func clerk(ctx context.Context, t *testing.T, c *client.Client, done *atomic.Int64) {
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnPatience)
		_, err := c.Update(try, func(tx *client.Tx) error {
			all, err := balances(tx)
			if err != nil {
				return err
			}
			count, err := tx.Get("{bank}count")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(count.Bytes))
			if err != nil {
				return err
			}
			from, to := rand.IntN(bankAccounts), rand.IntN(bankAccounts)
			all[from]--
			all[to]++
			tx.Set(account(from), []byte(strconv.Itoa(all[from])))
			tx.Set(account(to), []byte(strconv.Itoa(all[to])))
			tx.Set("{bank}count", []byte(strconv.Itoa(n+1)))
			return nil
		})
		cancel()
		if err != nil {
			t.Errorf("a transaction: %v", err)
			return
		}
		done.Add(1)
	}
}

// churn sets and deletes keys until ctx ends.
func churn(ctx context.Context, t *testing.T, c *client.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnPatience)
		key := fmt.Sprint("comes/", n%300)
		_, err := c.Set(try, key, nil, client.Always())
		if err == nil && n%2 == 0 {
			err = c.Delete(try, key, client.Always())
		}
		cancel()
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
			return
		}
	}
}

// TestScan scans a cluster while its servers are killed and return, and keys come and go: each that stays is told exactly once, the others
// at most once. Transactions go on meanwhile: none is done twice or in half.
func TestScan(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 5, LeaderFlags: []string{"--partitions", "64"}})
	c.WaitBalanced()
	o := c.Options()
	o.Persist = true
	cl, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	puts := []client.Put{{Key: "{bank}count", Value: []byte("0")}}
	for i := range bankAccounts {
		puts = append(puts, client.Put{Key: account(i), Value: []byte(strconv.Itoa(bankMoney))})
	}
	for i := range scanKeys {
		puts = append(puts, client.Put{Key: fmt.Sprint("stays/", i), Value: []byte("v")})
	}
	for i, r := range cl.SetMany(t.Context(), puts) {
		if r.Err != nil {
			t.Fatal(puts[i].Key, r.Err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running := harness.Beside(t)
	var moved atomic.Int64
	for range bankClerks {
		running.Go(func() { clerk(ctx, t, cl, &moved) })
	}
	running.Go(func() { churn(ctx, t, cl) })
	for round := range scanRounds {
		n := c.Acting(account(round), 1)[0]
		killing := harness.Beside(t)
		killing.Go(n.Kill)
		checkScan(t, cl, round%2 == 0)
		killing.Wait()
		c.WaitDown(n)
		n.Start()
		checkScan(t, cl, round%2 == 1)
		c.WaitBalanced()
	}
	stop()
	running.Wait()
	checkBank(t, cl, moved.Load())
}

// checkScan scans once.
func checkScan(t *testing.T, c *client.Client, values bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := map[string]int{}
	for e, err := range c.Scan(ctx, client.ScanOptions{Values: values}) {
		if err != nil {
			t.Fatal(err)
		}
		told[e.Key]++
		if told[e.Key] > 1 {
			t.Errorf("%q is told %d times", e.Key, told[e.Key])
		}
	}
	for i := range scanKeys {
		if key := fmt.Sprint("stays/", i); told[key] == 0 {
			t.Errorf("%q is not told", key)
		}
	}
}

// checkBank looks at what the transactions left.
func checkBank(t *testing.T, c *client.Client, moved int64) {
	t.Helper()
	sum, count := 0, ""
	_, err := c.Update(t.Context(), func(tx *client.Tx) error {
		all, err := balances(tx)
		sum = 0
		for _, n := range all {
			sum += n
		}
		v, err2 := tx.Get("{bank}count")
		count = string(v.Bytes)
		return errors.Join(err, err2)
	})
	if err != nil || sum != bankAccounts*bankMoney || count != strconv.FormatInt(moved, 10) || moved == 0 {
		t.Errorf("%d in all, %s transactions, %d are acknowledged: %v", sum, count, moved, err)
	}
}
