// Package rebalance says what has to move when a view's acting replicas are not
// its targets, and paces the moving.
//
// Plan and Foresee are pure: what is missing where, and what a join or a leave
// would move. A Mover works for one server, the destination: it starts transfers,
// a few at a time, fewest copies first, adapts to each newer view,
// limits the bytes that it asks for, and can be paused. It never decides that a
// copy is whole: a transfer has ended when a view shows the server acting, or no
// longer wants it. So it has nothing to remember over a crash.
package rebalance
