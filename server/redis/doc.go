// Package redis knows the commands of Redis 7: their table, their arguments, what
// they do to keys, and the texts of their replies. It is pure: time and the state
// of the keys are handed in.
package redis
