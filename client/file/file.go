// Package file keeps files of any length at paths, such as /backups/monday.tar, on the servers of
// a viewring cluster. A file's bytes never change: a new content replaces the old one at one
// instant, whoever dies at whatever moment, and who reads the file meanwhile reads the old one
// to its end, or is told. Files are nodes of the tree of paths of package tree.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// What operations fail with, beside the errors of package client, and fs.ErrNotExist and
// fs.ErrExist, to be told apart with errors.Is.
var (
	// ErrIsDirectory: a directory is where a file is meant.
	ErrIsDirectory = errors.New("is a directory")
	// ErrNotDirectory: a file is where a directory is meant.
	ErrNotDirectory = errors.New("is not a directory")
	// ErrNotEmpty: a directory that is not empty is not removed.
	ErrNotEmpty = errors.New("the directory is not empty")
	// ErrChanged: the file is at another version than the one that was asked for, or was changed
	// by somebody else while a change of it was made. Nothing was done.
	ErrChanged = errors.New("the file was changed")
	// ErrReplaced: the file was replaced or removed while it was read, and the old bytes are gone.
	ErrReplaced = errors.New("replaced while it was read")
	// ErrLost: chunks of the file are missing in the store.
	ErrLost = errors.New("chunks are lost")
	// ErrChecksum: the bytes that were read are not those that were written.
	ErrChecksum = errors.New("the checksum does not match")
	// ErrEnded: the servers have given up what was being written, since they had not heard of this
	// process for too long. Nothing was done.
	ErrEnded = errors.New("the write was given up by the servers")
	// ErrUnreadable: the file was written by a build that this one does not know, or its entry is damaged.
	ErrUnreadable = errors.New("not readable by this build")
	// ErrSession: what is at the path goes with a session (Info.Owner), and so would the file that replaced it: a file that was
	// put is there until it is removed. Edits change such a file, and it goes on to go with the session.
	ErrSession = errors.New("goes with a session: it is not replaced, but may be removed first")
	// ErrBadPath: the text says what is wrong with the path.
	ErrBadPath = tree.ErrBadPath
	// ErrContended: others changed the same again and again.
	ErrContended = tree.ErrContended
)

const (
	// inlineMax is how many bytes of a file are kept in its entry: a write is one step then, or a part of one with other
	// files, and a read another. Measured with the 11,478 files of Go's sources (README.md): a put takes a third less
	// of all processors' time than with 4 KiB, a get as much, and a list, which passes over the bytes, half as much again.
	inlineMax = 64 << 10

	// defaultChunk is the length of chunks. What the store adds to each (a request, its place in the
	// log and in the index, a commit) is some hundred bytes and is a thousandth of that, so
	// larger ones save little; and they cost memory: parallelMax of them, here and at servers.
	defaultChunk = 1 << 20

	// ChunkBytesMin and ChunkBytesMax bound PutOptions.ChunkBytes.
	ChunkBytesMin = 4 << 10
	ChunkBytesMax = 8 << 20

	// parallelMax is how many chunks of a file are under way at a time.
	parallelMax = 8

	// writeTouchEvery is how often servers are told that a content is still being written; they
	// wait for a quarter of an hour.
	writeTouchEvery = time.Minute

	// readTouchEvery is the same for one that is being read, where they wait for a minute once it
	// was replaced.
	readTouchEvery = 20 * time.Second

	// abortPatience bounds what is done after a context has ended: to take back, or to learn
	// what came of it.
	abortPatience = 5 * time.Second

	// attemptsMax bounds how often a change begins anew because others came between.
	attemptsMax = 100
)

// Root is the path of the directory that is always there.
const Root = tree.Root

// store carries out steps and operations on chunks; it is a *route.Client.
type store interface {
	Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error)
	Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error)
	Close() error
}

// FS has the files of one cluster. Any number of goroutines may use it.
type FS struct {
	store  store
	inline int64 // the longest file that is kept in its entry
	chunk  int64 // bytes, where nothing else is said

	buffers sync.Pool // of *[]byte, for chunks
}

// Open finds the cluster, as client.Open does. Close it after use.
func Open(ctx context.Context, opts client.Options) (*FS, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	return &FS{store: router, inline: inlineMax, chunk: defaultChunk}, nil
}

// Close ends the connections. What is under way fails.
func (f *FS) Close() error { return f.store.Close() }

// op is an operation: its context, and what errors call it.
type op struct {
	f    *FS
	ctx  context.Context
	name string

	nothing bool // is at the path of what is put, or was when it was looked for
}

func (f *FS) op(ctx context.Context, verb, path string) *op {
	return &op{f: f, ctx: ctx, name: fmt.Sprintf("%s %q", verb, path)}
}

// within is the same operation in another context.
func (o *op) within(ctx context.Context) *op {
	return &op{f: o.f, ctx: ctx, name: o.name, nothing: o.nothing}
}

// ask carries out one step.
func (o *op) ask(q *wire.TreeRequest) (wire.TreeReply, error) {
	return o.f.store.Tree(o.ctx, o.name, q)
}

// kinds are the errors of steps as callers of this package know them.
var kinds = []struct{ is, told error }{
	{tree.ErrNoNode, fs.ErrNotExist},
	{tree.ErrNoParent, fmt.Errorf("its directory: %w", fs.ErrNotExist)},
	{tree.ErrNodeExists, fs.ErrExist},
	{tree.ErrNotEmpty, ErrNotEmpty},
	{tree.ErrHadChild, ErrIsDirectory},
	{tree.ErrBadVersion, ErrChanged},
	{tree.ErrEphemeral, ErrNotDirectory},
	{tree.ErrUnreadable, ErrUnreadable},
}

// errInterrupted is the kind of what ended with its context.
var errInterrupted = errors.New("interrupted")

// told is the error of a step as callers know it.
func told(err error) error {
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return k.told
		}
	}
	return err
}

// failed is an operation's error as callers see it, nil for none.
func (o *op) failed(err error) error {
	var already *route.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tree.ErrUnfinished), errors.Is(err, tree.ErrOvertaken):
		return &route.Error{Op: o.name, Kind: client.ErrUnknownOutcome, Last: err}
	case errors.As(err, &already):
		return err
	}
	err = told(err)
	if ended := o.ctx.Err(); ended != nil && errors.Is(err, ended) {
		return &route.Error{Op: o.name, Kind: errInterrupted, Last: err, Ended: ended}
	}
	return &route.Error{Op: o.name, Kind: err}
}
