package ring

import (
	"math"
	"slices"
)

// followerFactor is how many times its points by weight a server has at most on the walk
// to the followers. DESIGN.md gives reasons for it.
const followerFactor = 2

// followerRounds is how often attract mends what it has. Nothing changes after fewer.
const followerRounds = 64

// weightClass is the targets of one weight.
type weightClass struct {
	weight   int
	servers  float64
	wanted   float64 // the part of all partitions that each of them is to hold
	attracts float64 // its weight on the walk to the followers
}

// followerPoints says how many points each member has on the walk to the followers. A walk
// meets heavy servers early, but each only once: with points in proportion to weight they
// would hold less than their part, more so the fewer servers there are. So heavy ones have
// extra points there, as many as it takes for copies in proportion. The lightest have none,
// so where all are alike there are none.
func followerPoints(members []Member, perShare int) []int {
	classes := weightClasses(members)
	attract(classes)
	points := make([]int, len(members))
	for i := range members {
		m := &members[i]
		points[i] = m.shares() * perShare
		if at, found := findClass(classes, m.shares()); found { // not so for one that is no target
			points[i] = max(points[i], int(math.Round(classes[at].attracts*float64(perShare))))
		}
	}
	return points
}

func findClass(classes []weightClass, weight int) (at int, found bool) {
	return slices.BinarySearchFunc(classes, weight, func(c weightClass, w int) int { return c.weight - w })
}

// weightClasses lists the weights of the targets, lightest first.
func weightClasses(members []Member) []weightClass {
	var classes []weightClass
	shares, servers := 0, 0
	for i := range members {
		m := &members[i]
		if !m.Target() {
			continue
		}
		at, found := findClass(classes, m.shares())
		if !found {
			classes = slices.Insert(classes, at, weightClass{weight: m.shares(), attracts: float64(m.shares())})
		}
		classes[at].servers++
		shares += m.shares()
		servers++
	}
	left := float64(min(Copies, servers))
	for i := len(classes) - 1; i >= 0; i-- {
		c := &classes[i]
		c.wanted = left * float64(c.weight) / float64(shares)
		if c.wanted >= 1 { // it holds everything, and the lighter ones share out the rest
			c.wanted = 1
			left -= c.servers
			shares -= c.weight * int(c.servers)
		}
	}
	return classes
}

// attract finds the weights for the walk with which each class holds what is wanted of it:
// it compares the odds of holding a partition with those wanted, time after time.
func attract(classes []weightClass) {
	if len(classes) < 2 || classes[0].wanted == 1 {
		return
	}
	for range followerRounds {
		held := expected(classes)
		for i := range classes {
			if c := &classes[i]; c.wanted < 1 {
				c.attracts *= c.wanted / (1 - c.wanted) * (1 - held[i]) / held[i]
			}
		}
		unit := classes[0].attracts / float64(classes[0].weight)
		for i := range classes {
			c := &classes[i]
			c.attracts = max(float64(c.weight), min(c.attracts/unit, followerFactor*float64(c.weight)))
			if c.wanted == 1 {
				c.attracts = followerFactor * float64(c.weight)
			}
		}
	}
}

// expected is the part of all partitions that a server of each class holds, without bounds.
// Products are rounded before anything is added to them, so that all machines agree.
func expected(classes []weightClass) []float64 {
	held := make([]float64, len(classes))
	weights, all := 0.0, 0.0
	for i := range classes {
		c := &classes[i]
		weights += float64(float64(c.weight) * c.servers)
		all += float64(c.attracts * c.servers)
	}
	others := func(of int, taken ...int) float64 {
		n := classes[of].servers
		for _, t := range taken {
			if t == of {
				n--
			}
		}
		return max(0, n)
	}
	for a := range classes {
		first := &classes[a]
		one := float64(float64(first.weight)*first.servers) / weights
		held[a] += one / first.servers
		for b := range classes {
			second := &classes[b]
			two := float64(one*float64(others(b, a)*second.attracts)) / (all - first.attracts)
			if two == 0 {
				continue
			}
			held[b] += two / second.servers
			for c := range classes {
				third := &classes[c]
				held[c] += float64(two*float64(others(c, a, b)*third.attracts)) / (all - first.attracts - second.attracts) / third.servers
			}
		}
	}
	return held
}
