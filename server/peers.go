package server

import (
	"context"
	"sync"

	"viewring/internal/route"
	"viewring/internal/wire"
)

// peers is the cluster as one of its servers asks it, itself included. It looks for it with the
// first request. Any goroutine may call it.
type peers struct {
	s *Server

	mu     sync.Mutex
	router *route.Client // guarded by mu; nil: not found yet
}

func (p *peers) open(ctx context.Context) (*route.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.router == nil {
		router, err := route.Open(ctx, route.Options{Leaders: p.s.opts.LeaderAddrs, Servers: []string{p.s.addr}, Dialer: route.DialFunc(p.s.opts.Dial), Logger: p.s.logger, ViewCache: route.NoViewCache})
		if err != nil {
			return nil, err
		}
		p.router = router
	}
	return p.router, nil
}

// Tree implements upkeep.Cluster.
func (p *peers) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	router, err := p.open(ctx)
	if err != nil {
		return wire.TreeReply{}, err
	}
	return router.Tree(ctx, name, q)
}

// Chunk implements upkeep.Cluster.
func (p *peers) Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (wire.DoReply, error) {
	router, err := p.open(ctx)
	if err != nil {
		return wire.DoReply{}, err
	}
	return router.Chunk(ctx, name, q)
}

// Record implements upkeep.Cluster.
func (p *peers) Record(ctx context.Context, name string, q *wire.RecordRequest) (wire.RecordReply, bool, error) {
	router, err := p.open(ctx)
	if err != nil {
		return wire.RecordReply{}, false, err
	}
	return router.Record(ctx, name, q)
}

// RecordPart implements upkeep.Cluster.
func (p *peers) RecordPart(ctx context.Context, name string, chunk wire.Chunk, part wire.RecordPart, index uint32) (wire.DoReply, error) {
	router, err := p.open(ctx)
	if err != nil {
		return wire.DoReply{}, err
	}
	return router.RecordPart(ctx, name, chunk, part, index)
}

// run closes what was opened, once the server stops.
func (p *peers) run() {
	<-p.s.ctx.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.router != nil {
		_ = p.router.Close() // what is under way fails
	}
}
