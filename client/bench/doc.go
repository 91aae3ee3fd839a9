// Package bench measures what speaks RESP: a viewring cluster the way a
// cluster-aware Redis client would use it (each connection goes to one server and
// asks only for keys whose primary that server is), or any list of addresses that
// each take every key, such as a Redis primary or a gateway. Where the servers run
// on this machine it counts the processor time that they take.
package bench
