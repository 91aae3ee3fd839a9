package record_test

import (
	"context"
	"fmt"
	"log"

	"viewring/client/record"
)

// Records are appended without locks, and read in one order.
func Example() {
	ctx := context.Background()
	store, err := record.Open(ctx, record.Options())
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(ctx, "/events", record.CreateOptions{}); err != nil {
		log.Fatal(err)
	}
	events, err := store.Open(ctx, "/events")
	if err != nil {
		log.Fatal(err)
	}
	out, err := events.Append(ctx, []byte("started"), []byte("ready"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("at", out.Place)
	for e, err := range events.Read(ctx, record.Start, false) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Place, e)
	}
	// Output:
	// at 0
	// 0 started
	// 1 ready
}

// A named producer that comes back is told what comes next, and nothing that it sends again lands twice.
func ExampleFile_Join() {
	ctx := context.Background()
	store, err := record.Open(ctx, record.Options())
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(ctx, "/orders", record.CreateOptions{}); err != nil {
		log.Fatal(err)
	}
	orders, err := store.Open(ctx, "/orders")
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the second time in another process, perhaps
		shop, err := orders.Join(ctx, "shop")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("known:", shop.Known(), "next:", shop.Next())
		if _, err := shop.Append(ctx, 0, []byte("first"), []byte("second")); err != nil {
			log.Fatal(err)
		}
	}
	st, err := orders.Stat(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.End, "records")
	// Output:
	// known: false next: 0
	// known: true next: 2
	// 2 records
}
