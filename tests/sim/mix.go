package sim

// A seed may have a theme: the faults that belong to it happen more often than in
// others, so that they meet each other. Half of the seeds have none.
var themes = [][]string{
	{"flipped bit", "bad block", "slow link", "flipped under lag"},
	{"handoff comes late", "purge comes late", "blink", "join", "leave", "crash", "slow link"},
	{"late learner", "blink", "slow link", "drain"},
	{"late promises", "lease gets shorter", "crash", "slow link"},
	{"tail of one", "lonely", "crash"},
	{"estranged", "isolated", "adoption hangs", "no view leader"},
	{"disk full", "all disks full", "drain", "crash"},
	{"torn triangle", "one way", "bridge", "crash"},
	{"client's clock jumps", "lossy", "crash"},
	{clockJumps, "pause", "no view leader"},
}

const clockJumps = "clock jumps"

// themeWeight is how much more often the faults of a theme happen.
const themeWeight = 5

// pickWeights draws how often each kind of fault happens in this world.
func (w *world) pickWeights() {
	w.weights = make([]int, len(kinds))
	for i := range kinds {
		w.weights[i] = kinds[i].weight
		if w.opt.Planned {
			w.weights[i] = plannedWeights[kinds[i].name]
		}
		if n, ok := placedWeights[kinds[i].name]; ok && w.opt.Placed {
			w.weights[i] = n
		}
	}
	if w.opt.Planned || w.chance(0.5) {
		return
	}
	for _, name := range themes[w.rng.IntN(len(themes))] {
		w.clocks = w.clocks || name == clockJumps
		for i := range kinds {
			if kinds[i].name == name {
				w.weights[i] *= themeWeight
			}
		}
	}
}
