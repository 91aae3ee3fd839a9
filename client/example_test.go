package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/tests/local"
)

// The examples share a cluster of three servers within this process.
var cluster = sync.OnceValue(func() *local.Cluster { return local.Keep(local.Options{Servers: 3}) })

func TestMain(m *testing.M) { os.Exit(local.Main(m)) }

// options say where the examples' cluster is.
func options() client.Options { return cluster().Options() }

// connect opens a client, for examples that are not about that.
func connect() (context.Context, *client.Client) {
	c, err := client.Open(context.Background(), options())
	if err != nil {
		panic(err)
	}
	return context.Background(), c
}

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := client.Open(ctx, options()) // client.Options{Leaders: []string{"localhost:28500"}}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if _, err := c.Set(ctx, "greeting", []byte("hello"), client.Always()); err != nil {
		fmt.Println(err)
		return
	}
	value, err := c.Get(ctx, "greeting")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", value.Bytes)
	// Output: hello
}

func ExampleOpen() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{
		Leaders:        []string{cluster().Leader}, // of a group of view leaders: all of them
		ViewCache:      client.NoViewCache,         // default: a file below the user's cache folder
		ConnectTimeout: time.Minute,                // default: 3 s
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("connected")

	_, err = client.Open(ctx, client.Options{
		Leaders:        []string{"127.0.0.1:1"},
		ViewCache:      client.NoViewCache,
		ConnectTimeout: 50 * time.Millisecond,
	})
	fmt.Println("nobody there:", errors.Is(err, client.ErrUnreachable))
	// Output:
	// connected
	// nobody there: true
}

// A cluster whose processes were started with --password-file, and here without TLS.
func ExampleSecureDialer() {
	secret, err := local.Start(local.Options{Password: "open sesame"})
	if err != nil {
		panic(err)
	}
	defer secret.Close()

	ctx := context.Background()
	options := client.Options{Leaders: []string{secret.Leader}, ViewCache: client.NoViewCache, ConnectTimeout: time.Minute}
	_, err = client.Open(ctx, options)
	fmt.Println("without a password:", errors.Is(err, client.ErrRefused))

	// With TLS the second argument is a *tls.Config, whose RootCAs have signed the
	// certificates of the cluster.
	options.Dialer = client.SecureDialer(nil, nil, "open sesame")
	c, err := client.Open(ctx, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("with it: connected")
	// Output:
	// without a password: true
	// with it: connected
}

// The same with the password in a file, which may be replaced while the program runs.
func ExampleSecureFilesDialer() {
	secret, err := local.Start(local.Options{Password: "open sesame"})
	if err != nil {
		panic(err)
	}
	defer secret.Close()
	dir, err := os.MkdirTemp("", "viewring-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("to be the next one\nopen sesame\n"), 0o600); err != nil {
		panic(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dial, err := client.SecureFilesDialer(ctx, nil, client.SecureFiles{Password: file}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.Open(ctx, client.Options{Leaders: []string{secret.Leader}, Dialer: dial, ViewCache: client.NoViewCache, ConnectTimeout: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("connected")
	// Output: connected
}

func ExampleClient_Get() {
	ctx, c := connect()
	defer c.Close()

	_, err := c.Get(ctx, "nobody")
	switch {
	case errors.Is(err, client.ErrNotFound):
		fmt.Println("there is no such key")
	case err != nil:
		fmt.Println(err)
	}
	// Output: there is no such key
}

// The key is made, if it is not there yet.
func ExampleIfAbsent() {
	ctx, c := connect()
	defer c.Close()

	for _, owner := range []string{"alice", "bob"} {
		_, err := c.Set(ctx, "owner", []byte(owner), client.IfAbsent())
		fmt.Println(owner, "owns it:", err == nil, errors.Is(err, client.ErrCondition))
	}
	// Output:
	// alice owns it: true false
	// bob owns it: false true
}

// Only a key that is there is replaced.
func ExampleIfPresent() {
	ctx, c := connect()
	defer c.Close()

	_, err := c.Set(ctx, "renamed", []byte("new"), client.IfPresent())
	fmt.Println(errors.Is(err, client.ErrCondition))
	// Output: true
}

// A value is changed by what it was: read, and written if it is still the same version.
func ExampleIfVersion() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.Set(ctx, "price", []byte("10"), client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	for {
		old, err := c.Get(ctx, "price")
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = c.Set(ctx, "price", append(old.Bytes, " euros"...), client.IfVersion(old.Version))
		if errors.Is(err, client.ErrCondition) {
			continue // somebody else was faster: look again
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		break
	}
	price, err := c.Get(ctx, "price")
	fmt.Printf("%s %v\n", price.Bytes, err)
	// Output: 10 euros <nil>
}

// Each of many writes has an outcome of its own.
func ExampleClient_SetMany() {
	ctx, c := connect()
	defer c.Close()

	var puts []client.Put
	for i := range 100 {
		puts = append(puts, client.Put{Key: fmt.Sprintf("many/%d", i), Value: []byte("x")})
	}
	puts = append(puts, client.Put{Key: "many/0", Value: []byte("y"), Condition: client.IfAbsent()})
	for i, r := range c.SetMany(ctx, puts) {
		if r.Err != nil {
			fmt.Println(puts[i].Key, "is there already:", errors.Is(r.Err, client.ErrCondition))
		}
	}
	// Output: many/0 is there already: true
}

func ExampleClient_GetMany() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.Set(ctx, "near", []byte("here"), client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	for _, r := range c.GetMany(ctx, []string{"near", "far"}) {
		fmt.Printf("%q %v\n", r.Value.Bytes, errors.Is(r.Err, client.ErrNotFound))
	}
	// Output:
	// "here" false
	// "" true
}

func ExampleClient_DeleteMany() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.Set(ctx, "old/1", nil, client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	for _, err := range c.DeleteMany(ctx, []string{"old/1", "old/2"}) {
		fmt.Println(err == nil, errors.Is(err, client.ErrNotFound))
	}
	// Output:
	// true false
	// false true
}

// All keys that begin so, on whichever servers.
func ExampleClient_Keys() {
	ctx, c := connect()
	defer c.Close()
	c.SetMany(ctx, []client.Put{{Key: "fruit/apple"}, {Key: "fruit/pear"}, {Key: "fish/eel"}})

	var names []string
	for name, err := range c.Keys(ctx, "fruit/") {
		if err != nil {
			fmt.Println(err) // not all were told
			return
		}
		names = append(names, name)
	}
	slices.Sort(names) // they come in no order
	fmt.Println(names)
	// Output: [fruit/apple fruit/pear]
}

// The same with values.
func ExampleClient_Scan() {
	ctx, c := connect()
	defer c.Close()
	c.SetMany(ctx, []client.Put{{Key: "price/apple", Value: []byte("3")}, {Key: "price/pear", Value: []byte("4")}})

	sum := 0
	for entry, err := range c.Scan(ctx, client.ScanOptions{Prefix: "price/", Values: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		price, err := strconv.Atoi(string(entry.Value.Bytes))
		if err != nil {
			fmt.Println(entry.Key, err)
			return
		}
		sum += price
	}
	fmt.Println(sum)
	// Output: 7
}

// Money goes from one account to another, whoever else moves some at the same time. The {tag} keeps the accounts
// in one slot.
func ExampleClient_Update() {
	ctx, c := connect()
	defer c.Close()
	c.SetMany(ctx, []client.Put{{Key: "{bank}alice", Value: []byte("100")}, {Key: "{bank}bob", Value: []byte("20")}})

	move := func(tx *client.Tx) error {
		for account, change := range map[string]int{"{bank}alice": -30, "{bank}bob": 30} {
			old, err := tx.Get(account)
			if err != nil {
				return err
			}
			balance, err := strconv.Atoi(string(old.Bytes))
			if err != nil {
				return err
			}
			tx.Set(account, []byte(strconv.Itoa(balance+change)))
		}
		return nil
	}
	if _, err := c.Update(ctx, move); err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range c.GetMany(ctx, []string{"{bank}alice", "{bank}bob"}) {
		fmt.Printf("%s\n", r.Value.Bytes)
	}
	// Output:
	// 70
	// 50
}

func ExampleClient_TTL() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.SetFor(ctx, "visitor", nil, time.Hour, client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	left, expires, err := c.TTL(ctx, "visitor")
	fmt.Println(left > 59*time.Minute, expires, err)
	// Output: true true <nil>
}

func ExampleClient_Delete() {
	ctx, c := connect()
	defer c.Close()
	version, err := c.Set(ctx, "draft", []byte("…"), client.Always())
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(c.Delete(ctx, "draft", client.IfVersion(version)))
	fmt.Println(errors.Is(c.Delete(ctx, "draft", client.Always()), client.ErrNotFound))
	// Output:
	// <nil>
	// true
}

// A key that goes by itself.
func ExampleClient_SetFor() {
	ctx, c := connect()
	defer c.Close()

	if _, err := c.SetFor(ctx, "code", []byte("1234"), 10*time.Millisecond, client.Always()); err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var err error
	for err == nil { // it is there yet
		_, err = c.Get(ctx, "code")
	}
	fmt.Println("it has expired:", errors.Is(err, client.ErrNotFound))
	// Output: it has expired: true
}

func ExampleClient_Expire() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.Set(ctx, "basket", []byte("apples"), client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	if err := c.Expire(ctx, "basket", time.Hour); err != nil {
		fmt.Println(err)
		return
	}
	basket, err := c.Get(ctx, "basket")
	fmt.Println(time.Until(basket.Expires) > 59*time.Minute, err)
	// Output: true <nil>
}

func ExampleClient_Persist() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.SetFor(ctx, "guest", []byte("eve"), time.Hour, client.Always()); err != nil {
		fmt.Println(err)
		return
	}

	wasToGo, err := c.Persist(ctx, "guest")
	fmt.Println(wasToGo, err)
	guest, err := c.Get(ctx, "guest")
	fmt.Println(guest.Expires.IsZero(), err)
	// Output:
	// true <nil>
	// true <nil>
}

func ExampleClient_Incr() {
	ctx, c := connect()
	defer c.Close()

	for range 2 {
		visits, err := c.Incr(ctx, "visits", 1)
		fmt.Println(visits, err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

func ExampleClient_Append() {
	ctx, c := connect()
	defer c.Close()

	for _, line := range []string{"one\n", "two\n"} {
		length, err := c.Append(ctx, "log", []byte(line))
		fmt.Println(length, err)
	}
	// Output:
	// 4 <nil>
	// 8 <nil>
}

// Every operation ends with its context at the latest. What an error says of a write:
func Example_errors() {
	ctx, c := connect()
	defer c.Close()

	ctx, cancel := context.WithCancel(ctx)
	cancel() // as the user did who has lost patience
	_, err := c.Set(ctx, "order", []byte("17"), client.Always())
	switch {
	case err == nil:
		fmt.Println("it is stored")
	case errors.Is(err, client.ErrUnknownOutcome):
		fmt.Println("it may be stored, or may be yet: read it, or set it again")
	case errors.Is(err, context.Canceled):
		fmt.Println("it is not stored: there was no time")
	default:
		fmt.Println("it is not stored:", err)
	}
	// Output: it is not stored: there was no time
}

// A lock that is held until it is released. Its holder has a name of its choice.
func ExampleClient_LockGet() {
	ctx, c := connect()
	defer c.Close()

	if _, err := c.LockGet(ctx, "backup", "alice", client.LockOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	_, err := c.LockGet(ctx, "backup", "bob", client.LockOptions{Wait: time.Millisecond})
	fmt.Println("bob waited in vain:", errors.Is(err, client.ErrLocked))

	fmt.Println(c.LockRelease(ctx, "backup", "alice"))
	_, err = c.LockGet(ctx, "backup", "bob", client.LockOptions{})
	fmt.Println("bob has it:", err == nil)
	// Output:
	// bob waited in vain: true
	// <nil>
	// bob has it: true
}

// A lock with several readers at a time.
func ExampleLockOptions() {
	ctx, c := connect()
	defer c.Close()

	for _, reader := range []string{"alice", "bob"} {
		_, err := c.LockGet(ctx, "catalog", reader, client.LockOptions{Shared: true})
		fmt.Println(reader, err)
	}
	_, err := c.LockGet(ctx, "catalog", "carol", client.LockOptions{})
	fmt.Println("carol may write:", err == nil)
	// Output:
	// alice <nil>
	// bob <nil>
	// carol may write: false
}

// A lock that ends with the program: on Close, or when the program has died.
func ExampleClient_OpenSession() {
	ctx, c := connect()
	defer c.Close()

	s, err := c.OpenSession(ctx, client.SessionOptions{TTL: 10 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.LockGet(ctx, "leader of the band", "alice", client.LockOptions{Wait: -1}); err != nil {
		fmt.Println(err)
		return
	}
	select {
	case <-s.Done():
		fmt.Println("stop: others may have the lock now")
	default:
		fmt.Println("at work until", s.Until().After(time.Now()))
	}
	fmt.Println(s.Close(ctx))
	// Output:
	// at work until true
	// <nil>
}

// Who held a lock once, and does not know yet that it is another's, writes nothing.
func ExampleWithFence() {
	ctx, c := connect()
	defer c.Close()

	hold := func(holder string) context.Context {
		grant, err := c.LockGet(ctx, "ledger", holder, client.LockOptions{})
		if err != nil {
			panic(err)
		}
		return client.WithFence(ctx, client.Fence{Lock: "ledger", Token: grant.Token})
	}
	asAlice := hold("alice")
	if err := c.LockRelease(ctx, "ledger", "alice"); err != nil { // an operator took her for dead
		fmt.Println(err)
		return
	}
	asBob := hold("bob")

	_, err := c.Set(asBob, "balance", []byte("100"), client.Always())
	fmt.Println("bob:", err)
	_, err = c.Set(asAlice, "balance", []byte("0"), client.Always())
	fmt.Println("alice is too late:", errors.Is(err, client.ErrFenced))
	// Output:
	// bob: <nil>
	// alice is too late: true
}

func ExampleClient_Stats() {
	ctx, c := connect()
	defer c.Close()
	if _, err := c.Incr(ctx, "counted", 1); err != nil {
		fmt.Println(err)
		return
	}

	s := c.Stats()
	fmt.Println(s.Requests, s.Failures, s.Longest > 0)
	// Output: 1 0 true
}

// An operator's question beside the program's own: is the data safe?
func Example_operators() {
	ctx := context.Background()
	operator, err := admin.Open(ctx, options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer operator.Close()
	st, err := operator.Status(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(st.Safety().TooFew, "partitions have too few copies")
	// Output: 0 partitions have too few copies
}
