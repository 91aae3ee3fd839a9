package redis

// Table lists the commands that a server understands, in the order in which COMMAND
// tells them; subcommands follow at the end, under container|name. What it says of
// each is what Redis 7.0 says.
var Table = []*Command{}

// row is a line of the table. Lists are words between blanks; the categories are
// those that do not follow from the flags.
type row struct {
	name                  string
	arity                 int
	flags                 string
	keys                  Keys
	categories, tips      string
	group, since, summary string
	eval                  Evaluator
}

var rows = []row{
	{"get", 2, "readonly fast", oneKey("RO access"), "string", "", "string", "1.0.0", "Get the value of a key", evalGet},
	{"set", -3, "write denyoom", oneKey("RW access update variable_flags").noted("RW and ACCESS due to the optional `GET` argument"), "string", "", "string", "1.0.0", "Set the string value of a key", evalSet},
	{"setnx", 3, "write denyoom fast", oneKey("OW insert"), "string", "", "string", "1.0.0", "Set the value of a key, only if the key does not exist", evalSetNX},
	{"setex", 4, "write denyoom", oneKey("OW update"), "string", "", "string", "2.0.0", "Set the value and expiration of a key", evalSetEX(Seconds)},
	{"psetex", 4, "write denyoom", oneKey("OW update"), "string", "", "string", "2.6.0", "Set the value and expiration in milliseconds of a key", evalSetEX(Millis)},
	{"getset", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Set the string value of a key and return its old value", evalGetSet},
	{"getdel", 2, "write fast", oneKey("RW access delete"), "string", "", "string", "6.2.0", "Get the value of a key and delete the key", evalGetDel},
	{"getex", -2, "write fast", oneKey("RW access update").noted("RW and UPDATE because it changes the TTL"), "string", "", "string", "6.2.0", "Get the value of a key and optionally set its expiration", evalGetEX},
	{"mget", -2, "readonly fast", allKeys("RO access"), "string", "request_policy:multi_shard", "string", "1.0.0", "Get the values of all the given keys", evalMGet},
	{"mset", -3, "write denyoom", keyPairs("OW update"), "string", "request_policy:multi_shard response_policy:all_succeeded", "string", "1.0.1", "Set multiple keys to multiple values", evalMSet},
	{"msetnx", -3, "write denyoom", keyPairs("OW insert"), "string", "request_policy:multi_shard response_policy:agg_min", "string", "1.0.1", "Set multiple keys to multiple values, only if none of the keys exist", evalMSetNX},
	{"append", 3, "write denyoom fast", oneKey("RW insert"), "string", "", "string", "2.0.0", "Append a value to a key", evalAppend},
	{"strlen", 2, "readonly fast", oneKey("RO"), "string", "", "string", "2.2.0", "Get the length of the value stored in a key", evalStrlen},
	{"getrange", 4, "readonly", oneKey("RO access"), "string", "", "string", "2.4.0", "Get a substring of the string stored at a key", evalGetRange},
	{"substr", 4, "readonly", oneKey("RO access"), "string", "", "string", "1.0.0", "Get a substring of the string stored at a key", evalGetRange},
	{"setrange", 4, "write denyoom", oneKey("RW update"), "string", "", "string", "2.2.0", "Overwrite part of a string at key starting at the specified offset", evalSetRange},
	{"incr", 2, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Increment the integer value of a key by one", evalIncr(1)},
	{"decr", 2, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Decrement the integer value of a key by one", evalIncr(-1)},
	{"incrby", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Increment the integer value of a key by the given amount", evalIncrBy},
	{"decrby", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Decrement the integer value of a key by the given number", evalDecrBy},
	{"incrbyfloat", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "2.6.0", "Increment the float value of a key by the given amount", evalIncrByFloat},
	{"del", -2, "write", allKeys("RM delete"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "1.0.0", "Delete a key", evalDel},
	{"unlink", -2, "write fast", allKeys("RM delete"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "4.0.0", "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking", evalDel},
	{"exists", -2, "readonly fast", allKeys("RO"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "1.0.0", "Determine if a key exists", evalExists},
	{"touch", -2, "readonly fast", allKeys("RO"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "3.2.1", "Alters the last access time of a key(s). Returns the number of existing keys specified", evalExists},
	{"type", 2, "readonly fast", oneKey("RO"), "keyspace", "", "generic", "1.0.0", "Determine the type stored at key", evalType},
	{"expire", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "1.0.0", "Set a key's time to live in seconds", evalExpire(Seconds)},
	{"pexpire", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.6.0", "Set a key's time to live in milliseconds", evalExpire(Millis)},
	{"expireat", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "1.2.0", "Set the expiration for a key as a UNIX timestamp", evalExpire(SecondsAt)},
	{"pexpireat", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.6.0", "Set the expiration for a key as a UNIX timestamp specified in milliseconds", evalExpire(MillisAt)},
	{"ttl", 2, "readonly fast", oneKey("RO access"), "keyspace", "nondeterministic_output", "generic", "1.0.0", "Get the time to live for a key in seconds", evalTTL(Seconds)},
	{"pttl", 2, "readonly fast", oneKey("RO access"), "keyspace", "nondeterministic_output", "generic", "2.6.0", "Get the time to live for a key in milliseconds", evalTTL(Millis)},
	{"expiretime", 2, "readonly fast", oneKey("RO access"), "keyspace", "", "generic", "7.0.0", "Get the expiration Unix timestamp for a key", evalTTL(SecondsAt)},
	{"pexpiretime", 2, "readonly fast", oneKey("RO access"), "keyspace", "", "generic", "7.0.0", "Get the expiration Unix timestamp for a key in milliseconds", evalTTL(MillisAt)},
	{"persist", 2, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.2.0", "Remove the expiration from a key", evalPersist},
	{"rename", 3, "write", twoKeys("RW access delete", "OW update"), "keyspace", "", "generic", "1.0.0", "Rename a key", evalRename},
	{"renamenx", 3, "write fast", twoKeys("RW access delete", "OW insert"), "keyspace", "", "generic", "1.0.0", "Rename a key, only if the new key does not exist", evalRenameNX},
	{"randomkey", 1, "readonly", noKeys, "keyspace", "request_policy:all_shards nondeterministic_output", "generic", "1.0.0", "Return a random key from the keyspace", nil},
	{"keys", 2, "readonly", noKeys, "keyspace dangerous", "request_policy:all_shards nondeterministic_output_order", "generic", "1.0.0", "Find all keys matching the given pattern", nil},
	{"scan", -2, "readonly", noKeys, "keyspace", "nondeterministic_output request_policy:special", "generic", "2.8.0", "Incrementally iterate the keys space", nil},
	{"dbsize", 1, "readonly fast", noKeys, "keyspace", "request_policy:all_shards response_policy:agg_sum", "server", "1.0.0", "Return the number of keys in the selected database", nil},
	{"flushall", -1, "write", noKeys, "keyspace dangerous", "request_policy:all_shards response_policy:all_succeeded", "server", "1.0.0", "Remove all keys from all databases", nil},
	{"flushdb", -1, "write", noKeys, "keyspace dangerous", "request_policy:all_shards response_policy:all_succeeded", "server", "1.0.0", "Remove all keys from the current database", nil},
	{"ping", -1, "fast", noKeys, "connection", "request_policy:all_shards response_policy:all_succeeded", "connection", "1.0.0", "Ping the server", nil},
	{"echo", 2, "loading stale fast", noKeys, "connection", "", "connection", "1.0.0", "Echo the given string", nil},
	{"hello", -1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "6.0.0", "Handshake with Redis", nil},
	{"auth", -2, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "1.0.0", "Authenticate to the server", nil},
	{"select", 2, "loading stale fast", noKeys, "connection", "", "connection", "1.0.0", "Change the selected database for the current connection", nil},
	{"client", -2, "", noKeys, "", "", "connection", "2.4.0", "A container for client connection commands", nil},
	{"command", -1, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "2.8.13", "Get array of Redis command details", nil},
	{"config", -2, "", noKeys, "", "", "server", "2.0.0", "A container for server configuration commands", nil},
	{"info", -1, "loading stale", noKeys, "dangerous", "nondeterministic_output request_policy:all_shards response_policy:special", "server", "1.0.0", "Get information and statistics about the server", nil},
	{"time", 1, "loading stale fast", noKeys, "", "nondeterministic_output", "server", "2.6.0", "Return the current server time", nil},
	{"quit", -1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "1.0.0", "Close the connection", nil},
	{"reset", 1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "6.2.0", "Reset the connection", nil},
	{"wait", 3, "noscript", noKeys, "connection", "request_policy:all_shards response_policy:agg_min", "generic", "3.0.0", "Wait for the synchronous replication of all the write commands sent in the context of the current connection", nil},
	{"multi", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "1.2.0", "Mark the start of a transaction block", nil},
	{"exec", 1, "noscript loading stale skip_slowlog", noKeys, "transaction", "", "transactions", "1.2.0", "Execute all commands issued after MULTI", nil},
	{"discard", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "2.0.0", "Discard all commands issued after MULTI", nil},
	{"watch", -2, "noscript loading stale fast allow_busy", allKeys("RO"), "transaction", "", "transactions", "2.2.0", "Watch the given keys to determine execution of the MULTI/EXEC block", nil},
	{"unwatch", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "2.2.0", "Forget about all watched keys", nil},
	{"cluster", -2, "", noKeys, "", "", "cluster", "3.0.0", "A container for cluster commands", nil},
	{"readonly", 1, "loading stale fast", noKeys, "connection", "", "cluster", "3.0.0", "Enables read queries for a connection to a cluster replica node", nil},
	{"readwrite", 1, "loading stale fast", noKeys, "connection", "", "cluster", "3.0.0", "Disables read queries for a connection to a cluster replica node", nil},
	{"asking", 1, "fast", noKeys, "connection", "", "cluster", "3.0.0", "Sent by cluster clients after an -ASK redirect", nil},
	{"client|id", 2, "noscript loading stale", noKeys, "connection", "", "connection", "5.0.0", "Returns the client ID for the current connection", nil},
	{"client|getname", 2, "noscript loading stale", noKeys, "connection", "", "connection", "2.6.9", "Get the current connection name", nil},
	{"client|setname", 3, "noscript loading stale", noKeys, "connection", "", "connection", "2.6.9", "Set the current connection name", nil},
	{"client|list", -2, "admin noscript loading stale", noKeys, "connection", "nondeterministic_output", "connection", "2.4.0", "Get the list of client connections", nil},
	{"client|info", 2, "noscript loading stale", noKeys, "connection", "nondeterministic_output", "connection", "6.2.0", "Returns information about the current client connection", nil},
	{"client|no-evict", 3, "admin noscript loading stale", noKeys, "connection", "", "connection", "7.0.0", "Set client eviction mode for the current connection", nil},
	{"command|count", 2, "loading stale", noKeys, "connection", "", "server", "2.8.13", "Get total number of Redis commands", nil},
	{"command|docs", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "7.0.0", "Get array of specific Redis command documentation", nil},
	{"command|info", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "2.8.13", "Get array of specific Redis command details, or all when no argument is given", nil},
	{"command|getkeys", -4, "loading stale", noKeys, "connection", "", "server", "2.8.13", "Extract keys given a full Redis command", nil},
	{"command|list", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "7.0.0", "Get an array of Redis command names", nil},
	{"config|get", -3, "admin noscript loading stale", noKeys, "", "", "server", "2.0.0", "Get the values of configuration parameters", nil},
	{"cluster|slots", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Get array of Cluster slot to node mappings", nil},
	{"cluster|shards", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "7.0.0", "Get array of cluster slots to node mappings", nil},
	{"cluster|nodes", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Get Cluster config for the node", nil},
	{"cluster|keyslot", 3, "stale", noKeys, "", "", "cluster", "3.0.0", "Returns the hash slot of the specified key", nil},
	{"cluster|info", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Provides info about Redis Cluster node state", nil},
	{"cluster|myid", 2, "stale", noKeys, "", "", "cluster", "3.0.0", "Return the node id", nil},
	{"cluster|countkeysinslot", 3, "stale", noKeys, "", "", "cluster", "3.0.0", "Return the number of local keys in the specified hash slot", nil},
	{"cluster|getkeysinslot", 4, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Return local key names in the specified hash slot", nil},
	{"client|setinfo", 4, "noscript loading stale", noKeys, "connection", "", "connection", "7.2.0", "Set client or connection specific info", nil},
	{"client|no-touch", 3, "noscript loading stale", noKeys, "connection", "", "connection", "7.2.0", "Controls whether commands sent by the client will alter the LRU/LFU of the keys they access", nil},
}
