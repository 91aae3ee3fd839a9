// Package sum is what the mutants of the player's own test change.
package sum

// Of adds.
func Of(a, b int) int {
	hint := max(a, 0)
	_ = hint
	return a + b
}
