package replica

import (
	"fmt"

	"viewring/ring"
)

// damage is what is known to be wrong with the bytes of a copy as a whole.
type damage byte

const (
	sound   damage = iota
	damaged        // a range cannot be read: keys are repaired one by one, until others can do without the copy
	unfit          // meta, index or log cannot be read: nothing can be built on the copy
)

var damageNext = []phases{
	sound:   to(damaged, unfit),
	damaged: to(sound, unfit),
	unfit:   to(sound),
}

func (d damage) String() string { return [...]string{"sound", "damaged", "unfit"}[d] }

// becomeDamaged notes damage, unless as much is known already.
func (p *part) becomeDamaged(d damage) {
	if d > p.damage {
		move(damageNext, &p.damage, d)
	}
}

// Damaged notes that a range of a partition's items cannot be read, as after a
// bad block. The copy serves on, key by key, until enough others act; then it is
// given up and copied anew.
func (c *Core) Damaged(at Instant, id ring.PartitionID) {
	c.enter(at)
	if p := c.part(id); p != nil {
		p.spoil(damaged)
	}
}

// spoil notes damage; with the meta it is remembered over restarts.
func (p *part) spoil(d damage) {
	if p.state == absent || d <= p.damage {
		return
	}
	p.becomeDamaged(d)
	p.touch()
}

// spoiled notes that a read met damage; other errors end the core.
func (p *part) spoiled(d damage, op string, err error) {
	if isCorrupt(err) {
		p.spoil(d)
		return
	}
	p.core.fail(op, err)
}

// tickDamaged asks to be taken out of a partition whose copy is damaged: at once
// where nothing can be built on it, else when enough replicas remain.
func (p *part) tickDamaged() {
	acting := len(p.view.Acting)
	if !p.isActing() || p.state != whole || p.core.now.Mono-p.strayAt < strayAskEvery {
		return
	}
	if acting > int(p.view.MinCopies) || p.damage == unfit && acting > 1 {
		p.strayAt = p.core.now.Mono
		p.askEject(p.core.cfg.Self)
	}
}

// loadMetas loads what a former process left behind. A meta that cannot be
// read makes its partition unfit: the copy is there, and worth nothing.
func (c *Core) loadMetas() error {
	var bad error
	err := c.st.Metas(func(id ring.PartitionID, b []byte) bool {
		if int(id)%c.cfg.Lanes != c.cfg.Lane {
			return true
		}
		p := c.partAt(id)
		m, err := decodeMeta(b)
		switch {
		case b == nil || isCorrupt(err):
			p.becomeDamaged(unfit)
			c.corrupt.found++
			return true
		case err != nil:
			bad = fmt.Errorf("partition %d: %w", id, err)
			return false
		}
		p.load(m)
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}
