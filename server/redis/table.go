package redis

// Table lists the commands that a server understands, in the order in which COMMAND
// tells them; subcommands follow at the end, under container|name. What it says of
// each is what Redis 7.0 says.
var Table = []*Command{}

// row is a line of the table, and all that server and gateway know of a command but for the
// functions of those that are hosted. Lists are words between blanks; the categories are
// those that do not follow from the flags.
type row struct {
	name                  string
	arity                 int
	flags                 string
	keys                  Keys
	categories, tips      string
	group, since, summary string
	means                 means
	once                  bool
	multi                 Multi
	gateway               Gateway
}

const once, no = true, false

var rows = []row{
	{"get", 2, "readonly fast", oneKey("RO access"), "string", "", "string", "1.0.0", "Get the value of a key", read(readGet), no, Queued, toKeys},
	{"set", -3, "write denyoom", oneKey("RW access update variable_flags").noted("RW and ACCESS due to the optional `GET` argument"), "string", "", "string", "1.0.0", "Set the string value of a key", write(writeSet), once, Queued, toKeys},
	{"setnx", 3, "write denyoom fast", oneKey("OW insert"), "string", "", "string", "1.0.0", "Set the value of a key, only if the key does not exist", write(writeSetNX), once, Queued, toKeys},
	{"setex", 4, "write denyoom", oneKey("OW update"), "string", "", "string", "2.0.0", "Set the value and expiration of a key", write(writeSetEX(Seconds)), once, Queued, toKeys},
	{"psetex", 4, "write denyoom", oneKey("OW update"), "string", "", "string", "2.6.0", "Set the value and expiration in milliseconds of a key", write(writeSetEX(Millis)), once, Queued, toKeys},
	{"getset", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Set the string value of a key and return its old value", eval(evalGetSet), no, Queued, toKeys},
	{"getdel", 2, "write fast", oneKey("RW access delete"), "string", "", "string", "6.2.0", "Get the value of a key and delete the key", eval(evalGetDel), no, Queued, toKeys},
	{"getex", -2, "write fast", oneKey("RW access update").noted("RW and UPDATE because it changes the TTL"), "string", "", "string", "6.2.0", "Get the value of a key and optionally set its expiration", eval(evalGetEX), no, Queued, toKeys},
	{"mget", -2, "readonly fast", allKeys("RO access"), "string", "request_policy:multi_shard", "string", "1.0.0", "Get the values of all the given keys", eval(evalMGet), no, Queued, toParts("get", JoinArray)},
	{"mset", -3, "write denyoom", keyPairs("OW update"), "string", "request_policy:multi_shard response_policy:all_succeeded", "string", "1.0.1", "Set multiple keys to multiple values", blind(evalMSet), no, Queued, toParts("set", JoinOK)},
	{"msetnx", -3, "write denyoom", keyPairs("OW insert"), "string", "request_policy:multi_shard response_policy:agg_min", "string", "1.0.1", "Set multiple keys to multiple values, only if none of the keys exist", eval(evalMSetNX), no, Queued, toKeys},
	{"append", 3, "write denyoom fast", oneKey("RW insert"), "string", "", "string", "2.0.0", "Append a value to a key", write(writeAppend), once, Queued, toKeys},
	{"strlen", 2, "readonly fast", oneKey("RO"), "string", "", "string", "2.2.0", "Get the length of the value stored in a key", read(readStrlen), no, Queued, toKeys},
	{"getrange", 4, "readonly", oneKey("RO access"), "string", "", "string", "2.4.0", "Get a substring of the string stored at a key", read(readGetRange), no, Queued, toKeys},
	{"substr", 4, "readonly", oneKey("RO access"), "string", "", "string", "1.0.0", "Get a substring of the string stored at a key", read(readGetRange), no, Queued, toKeys},
	{"setrange", 4, "write denyoom", oneKey("RW update"), "string", "", "string", "2.2.0", "Overwrite part of a string at key starting at the specified offset", eval(evalSetRange), no, Queued, toKeys},
	{"getbit", 3, "readonly fast", oneKey("RO access"), "bitmap", "", "bitmap", "2.2.0", "Returns the bit value at offset in the string value stored at key", read(readGetBit), no, Queued, toKeys},
	{"setbit", 4, "write denyoom", oneKey("RW access update"), "bitmap", "", "bitmap", "2.2.0", "Sets or clears the bit at offset in the string value stored at key", eval(evalSetBit), no, Queued, toKeys},
	{"incr", 2, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Increment the integer value of a key by one", write(writeIncr(1)), once, Queued, toKeys},
	{"decr", 2, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Decrement the integer value of a key by one", write(writeIncr(-1)), once, Queued, toKeys},
	{"incrby", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Increment the integer value of a key by the given amount", write(writeIncrBy), once, Queued, toKeys},
	{"decrby", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "1.0.0", "Decrement the integer value of a key by the given number", write(writeDecrBy), once, Queued, toKeys},
	{"incrbyfloat", 3, "write denyoom fast", oneKey("RW access update"), "string", "", "string", "2.6.0", "Increment the float value of a key by the given amount", eval(evalIncrByFloat), no, Queued, toKeys},
	{"del", -2, "write", allKeys("RM delete"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "1.0.0", "Delete a key", writes(writeDel, evalDel), once, Queued, toParts("del", JoinSum)},
	{"unlink", -2, "write fast", allKeys("RM delete"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "4.0.0", "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking", writes(writeDel, evalDel), once, Queued, toParts("unlink", JoinSum)},
	{"exists", -2, "readonly fast", allKeys("RO"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "1.0.0", "Determine if a key exists", reads(readExists, evalExists), no, Queued, toParts("exists", JoinSum)},
	{"touch", -2, "readonly fast", allKeys("RO"), "keyspace", "request_policy:multi_shard response_policy:agg_sum", "generic", "3.2.1", "Alters the last access time of a key(s). Returns the number of existing keys specified", reads(readExists, evalExists), no, Queued, toParts("touch", JoinSum)},
	{"type", 2, "readonly fast", oneKey("RO"), "keyspace", "", "generic", "1.0.0", "Determine the type stored at key", read(readType), no, Queued, toKeys},
	{"expire", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "1.0.0", "Set a key's time to live in seconds", write(writeExpire(Seconds)), no, Queued, toKeys},
	{"pexpire", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.6.0", "Set a key's time to live in milliseconds", write(writeExpire(Millis)), no, Queued, toKeys},
	{"expireat", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "1.2.0", "Set the expiration for a key as a UNIX timestamp", write(writeExpire(SecondsAt)), no, Queued, toKeys},
	{"pexpireat", -3, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.6.0", "Set the expiration for a key as a UNIX timestamp specified in milliseconds", write(writeExpire(MillisAt)), no, Queued, toKeys},
	{"ttl", 2, "readonly fast", oneKey("RO access"), "keyspace", "nondeterministic_output", "generic", "1.0.0", "Get the time to live for a key in seconds", read(readTTL(Seconds)), no, Queued, toKeys},
	{"pttl", 2, "readonly fast", oneKey("RO access"), "keyspace", "nondeterministic_output", "generic", "2.6.0", "Get the time to live for a key in milliseconds", read(readTTL(Millis)), no, Queued, toKeys},
	{"expiretime", 2, "readonly fast", oneKey("RO access"), "keyspace", "", "generic", "7.0.0", "Get the expiration Unix timestamp for a key", read(readTTL(SecondsAt)), no, Queued, toKeys},
	{"pexpiretime", 2, "readonly fast", oneKey("RO access"), "keyspace", "", "generic", "7.0.0", "Get the expiration Unix timestamp for a key in milliseconds", read(readTTL(MillisAt)), no, Queued, toKeys},
	{"persist", 2, "write fast", oneKey("RW update"), "keyspace", "", "generic", "2.2.0", "Remove the expiration from a key", write(writePersist), once, Queued, toKeys},
	{"rename", 3, "write", twoKeys("RW access delete", "OW update"), "keyspace", "", "generic", "1.0.0", "Rename a key", eval(evalRename), no, Queued, toKeys},
	{"renamenx", 3, "write fast", twoKeys("RW access delete", "OW insert"), "keyspace", "", "generic", "1.0.0", "Rename a key, only if the new key does not exist", eval(evalRenameNX), no, Queued, toKeys},
	{"randomkey", 1, "readonly", noKeys, "keyspace", "request_policy:all_shards nondeterministic_output", "generic", "1.0.0", "Return a random key from the keyspace", hosted, no, Queued, here},
	{"keys", 2, "readonly", noKeys, "keyspace dangerous", "request_policy:all_shards nondeterministic_output_order", "generic", "1.0.0", "Find all keys matching the given pattern", hosted, no, Queued, here},
	{"scan", -2, "readonly", noKeys, "keyspace", "nondeterministic_output request_policy:special", "generic", "2.8.0", "Incrementally iterate the keys space", hosted, no, Queued, here},
	{"dbsize", 1, "readonly fast", noKeys, "keyspace", "request_policy:all_shards response_policy:agg_sum", "server", "1.0.0", "Return the number of keys in the selected database", hosted, no, Queued, toAll(JoinSum)},
	{"flushall", -1, "write", noKeys, "keyspace dangerous", "request_policy:all_shards response_policy:all_succeeded", "server", "1.0.0", "Remove all keys from all databases", hosted, no, Refused, toAll(JoinOK)},
	{"flushdb", -1, "write", noKeys, "keyspace dangerous", "request_policy:all_shards response_policy:all_succeeded", "server", "1.0.0", "Remove all keys from the current database", hosted, no, Refused, toAll(JoinOK)},
	{"ping", -1, "fast", noKeys, "connection", "request_policy:all_shards response_policy:all_succeeded", "connection", "1.0.0", "Ping the server", listens(talk(talkPing)), no, Queued, hereNow},
	{"echo", 2, "loading stale fast", noKeys, "connection", "", "connection", "1.0.0", "Echo the given string", talk(talkEcho), no, Queued, hereNow},
	{"hello", -1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "6.0.0", "Handshake with Redis", talk(talkHello), no, Refused, here},
	{"auth", -2, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "1.0.0", "Authenticate to the server", talk(talkAuth), no, Queued, here},
	{"select", 2, "loading stale fast", noKeys, "connection", "", "connection", "1.0.0", "Change the selected database for the current connection", talk(talkSelect), no, Queued, here},
	{"client", -2, "", noKeys, "", "", "connection", "2.4.0", "A container for client connection commands", hosted, no, Queued, here},
	{"command", -1, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "2.8.13", "Get array of Redis command details", talk(talkCommand), no, Queued, here},
	{"config", -2, "", noKeys, "", "", "server", "2.0.0", "A container for server configuration commands", hosted, no, Queued, toAny},
	{"info", -1, "loading stale", noKeys, "dangerous", "nondeterministic_output request_policy:all_shards response_policy:special", "server", "1.0.0", "Get information and statistics about the server", hosted, no, Queued, here},
	{"time", 1, "loading stale fast", noKeys, "", "nondeterministic_output", "server", "2.6.0", "Return the current server time", talk(talkTime), no, Queued, hereNow},
	{"quit", -1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "1.0.0", "Close the connection", listens(hosted), no, AtOnce, here},
	{"reset", 1, "noscript loading stale fast no_auth allow_busy", noKeys, "connection", "", "connection", "6.2.0", "Reset the connection", listens(hosted), no, AtOnce, here},
	{"wait", 3, "noscript", noKeys, "connection", "request_policy:all_shards response_policy:agg_min", "generic", "3.0.0", "Wait for the synchronous replication of all the write commands sent in the context of the current connection", hosted, no, Queued, here},
	{"multi", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "1.2.0", "Mark the start of a transaction block", hosted, no, AtOnce, here},
	{"exec", 1, "noscript loading stale skip_slowlog", noKeys, "transaction", "", "transactions", "1.2.0", "Execute all commands issued after MULTI", hosted, no, AtOnce, here},
	{"discard", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "2.0.0", "Discard all commands issued after MULTI", hosted, no, AtOnce, here},
	{"watch", -2, "noscript loading stale fast allow_busy", allKeys("RO"), "transaction", "", "transactions", "2.2.0", "Watch the given keys to determine execution of the MULTI/EXEC block", hosted, no, AtOnce, here},
	{"unwatch", 1, "noscript loading stale fast allow_busy", noKeys, "transaction", "", "transactions", "2.2.0", "Forget about all watched keys", hosted, no, Queued, hereNow},
	{"cluster", -2, "", noKeys, "", "", "cluster", "3.0.0", "A container for cluster commands", hosted, no, Queued, nowhere},
	{"readonly", 1, "loading stale fast", noKeys, "connection", "", "cluster", "3.0.0", "Enables read queries for a connection to a cluster replica node", talk(talkOK), no, Queued, nowhere},
	{"readwrite", 1, "loading stale fast", noKeys, "connection", "", "cluster", "3.0.0", "Disables read queries for a connection to a cluster replica node", talk(talkOK), no, Queued, nowhere},
	{"asking", 1, "fast", noKeys, "connection", "", "cluster", "3.0.0", "Sent by cluster clients after an -ASK redirect", talk(talkOK), no, Queued, nowhere},
	{"subscribe", -2, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "2.0.0", "Listen for messages published to the given channels", listens(hosted), no, Refused, here},
	{"unsubscribe", -1, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "2.0.0", "Stop listening for messages posted to the given channels", listens(hosted), no, Refused, here},
	{"psubscribe", -2, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "2.0.0", "Listen for messages published to channels matching the given patterns", listens(hosted), no, Refused, here},
	{"punsubscribe", -1, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "2.0.0", "Stop listening for messages posted to channels matching the given patterns", listens(hosted), no, Refused, here},
	{"publish", 3, "pubsub loading stale fast", noKeys, "pubsub", "", "pubsub", "2.0.0", "Post a message to a channel", talk(talkNoPublish), no, Queued, here},
	{"spublish", 3, "pubsub loading stale fast", noKeys, "pubsub", "", "pubsub", "7.0.0", "Post a message to a shard channel", talk(talkNoPublish), no, Queued, here},
	{"ssubscribe", -2, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "7.0.0", "Listen for messages published to the given shard channels", listens(talk(talkNoPublish)), no, Refused, here},
	{"sunsubscribe", -1, "pubsub noscript loading stale", noKeys, "pubsub", "", "pubsub", "7.0.0", "Stop listening for messages posted to the given shard channels", listens(talk(talkNoPublish)), no, Refused, here},
	{"pubsub", -2, "", noKeys, "", "", "pubsub", "2.8.0", "A container for Pub/Sub commands", hosted, no, Queued, here},
	{"client|id", 2, "noscript loading stale", noKeys, "connection", "", "connection", "5.0.0", "Returns the client ID for the current connection", talk(talkClientID), no, Queued, here},
	{"client|getname", 2, "noscript loading stale", noKeys, "connection", "", "connection", "2.6.9", "Get the current connection name", talk(talkClientGetName), no, Queued, here},
	{"client|setname", 3, "noscript loading stale", noKeys, "connection", "", "connection", "2.6.9", "Set the current connection name", talk(talkClientSetName), no, Queued, here},
	{"client|list", -2, "admin noscript loading stale", noKeys, "connection", "nondeterministic_output", "connection", "2.4.0", "Get the list of client connections", talk(talkClientList), no, Queued, here},
	{"client|info", 2, "noscript loading stale", noKeys, "connection", "nondeterministic_output", "connection", "6.2.0", "Returns information about the current client connection", talk(talkClientInfo), no, Queued, here},
	{"client|no-evict", 3, "admin noscript loading stale", noKeys, "connection", "", "connection", "7.0.0", "Set client eviction mode for the current connection", talk(talkOnOff), no, Queued, here},
	{"command|count", 2, "loading stale", noKeys, "connection", "", "server", "2.8.13", "Get total number of Redis commands", talk(talkCommandCount), no, Queued, here},
	{"command|docs", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "7.0.0", "Get array of specific Redis command documentation", talk(talkCommandDocs), no, Queued, here},
	{"command|info", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "2.8.13", "Get array of specific Redis command details, or all when no argument is given", talk(talkCommandInfo), no, Queued, here},
	{"command|getkeys", -4, "loading stale", noKeys, "connection", "", "server", "2.8.13", "Extract keys given a full Redis command", talk(talkCommandGetKeys), no, Queued, here},
	{"command|list", -2, "loading stale", noKeys, "connection", "nondeterministic_output_order", "server", "7.0.0", "Get an array of Redis command names", talk(talkCommandList), no, Queued, here},
	{"config|get", -3, "admin noscript loading stale", noKeys, "", "", "server", "2.0.0", "Get the values of configuration parameters", hosted, no, Queued, toAny},
	{"cluster|slots", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Get array of Cluster slot to node mappings", hosted, no, Queued, nowhere},
	{"cluster|shards", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "7.0.0", "Get array of cluster slots to node mappings", hosted, no, Queued, nowhere},
	{"cluster|nodes", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Get Cluster config for the node", hosted, no, Queued, nowhere},
	{"cluster|keyslot", 3, "stale", noKeys, "", "", "cluster", "3.0.0", "Returns the hash slot of the specified key", hosted, no, Queued, nowhere},
	{"cluster|info", 2, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Provides info about Redis Cluster node state", hosted, no, Queued, nowhere},
	{"cluster|myid", 2, "stale", noKeys, "", "", "cluster", "3.0.0", "Return the node id", hosted, no, Queued, nowhere},
	{"cluster|countkeysinslot", 3, "stale", noKeys, "", "", "cluster", "3.0.0", "Return the number of local keys in the specified hash slot", hosted, no, Queued, nowhere},
	{"cluster|getkeysinslot", 4, "stale", noKeys, "", "nondeterministic_output", "cluster", "3.0.0", "Return local key names in the specified hash slot", hosted, no, Queued, nowhere},
	{"client|setinfo", 4, "noscript loading stale", noKeys, "connection", "", "connection", "7.2.0", "Set client or connection specific info", talk(talkClientSetInfo), no, Queued, here},
	{"client|no-touch", 3, "noscript loading stale", noKeys, "connection", "", "connection", "7.2.0", "Controls whether commands sent by the client will alter the LRU/LFU of the keys they access", talk(talkOnOff), no, Queued, here},
	{"client|tracking", -3, "noscript loading stale", noKeys, "connection", "", "connection", "6.0.0", "Enable or disable server assisted client side caching support", hosted, no, Refused, here},
	{"client|caching", 3, "noscript loading stale", noKeys, "connection", "", "connection", "6.0.0", "Instruct the server about tracking or not keys in the next request", talk(talkClientCaching), no, Refused, here},
	{"client|trackinginfo", 2, "noscript loading stale", noKeys, "connection", "", "connection", "6.2.0", "Return information about server assisted client side caching for the current connection", talk(talkClientTrackingInfo), no, Queued, here},
	{"client|getredir", 2, "noscript loading stale", noKeys, "connection", "", "connection", "6.0.0", "Get tracking notifications redirection client ID if any", talk(talkClientGetRedir), no, Queued, here},
	{"pubsub|channels", -2, "pubsub loading stale", noKeys, "pubsub", "", "pubsub", "2.8.0", "List active channels", hosted, no, Queued, here},
	{"pubsub|numsub", -2, "pubsub loading stale", noKeys, "pubsub", "", "pubsub", "2.8.0", "Get the count of subscribers for channels", hosted, no, Queued, here},
	{"pubsub|numpat", 2, "pubsub loading stale", noKeys, "pubsub", "", "pubsub", "2.8.0", "Get the count of unique patterns pattern subscriptions", hosted, no, Queued, here},
}
