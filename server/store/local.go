package store

import (
	"fmt"

	"viewring/server/replica"
)

// localKey is the key of a local name. The slot is 0: nothing routes by it.
func localKey(name string) replica.Key { return replica.MakeKey(0, replica.SpaceLocal, name) }

// SetLocal puts a value in the server's own namespace, which no replicated key
// can touch; it is durable when SetLocal returns.
func (s *Store) SetLocal(name string, value []byte) error {
	key := localKey(name)
	err := s.write(replica.StoreOp{
		Kind: replica.PutItem, Partition: localPartition, Key: key,
		Value: replica.AppendItem(nil, key, replica.Item{Kind: replica.KindValue, Value: value}),
	})
	if err != nil {
		return fmt.Errorf("set local %q: %w", name, err)
	}
	return nil
}

// write makes operations durable.
func (s *Store) write(ops ...replica.StoreOp) error {
	wait, err := s.ApplyBatch(&replica.Batch{Ops: ops})
	if err != nil {
		return err
	}
	return wait()
}

// GetLocal reads from the server's own namespace; ok is false when the name is
// not there.
func (s *Store) GetLocal(name string) (value []byte, ok bool, err error) {
	key := localKey(name)
	stored, err := s.Get(localPartition, key)
	if err != nil || stored == nil {
		return nil, false, err
	}
	it, err := replica.DecodeItem(key, stored)
	if err != nil {
		return nil, false, fmt.Errorf("get local %q: %w", name, err)
	}
	return it.Value, true, nil
}
