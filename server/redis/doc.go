// Package redis knows the commands of Redis 7: their table, their arguments, what
// they do to keys and to a client's session, and the texts of their replies. It is pure:
// time and the state of the keys are handed in.
//
// The table is the only list of commands. Server and gateway derive from a row what they
// do with a command, so a new one is a row and the function that says what it means: a
// Reader or Writer of one key where that is all it is, else an Evaluator or a Talk. Only a
// hosted row needs a function of the server and, where its Way is Here or HereNow, one of the
// gateway; tests say which is missing.
package redis
