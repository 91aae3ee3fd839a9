// Listens by a client of npm for the test: a message a line, as channel and text. With "cached" it
// keeps a key instead, and prints each value that it then finds.
//   node listen.mjs ioredis|redis HOST:PORT PATTERN
//   node listen.mjs redis HOST:PORT KEY cached
const [library, addr, name, cached] = process.argv.slice(2);
const [host, port] = [addr.split(":")[0], Number(addr.split(":")[1])];
const message = (channel, text) => console.log(channel, text);

async function ioredis() {
  const { Redis } = await import("ioredis");
  const c = new Redis({ host, port });
  await c.psubscribe(name);
  c.on("pmessage", (_, channel, text) => message(channel, text));
}

async function redis() {
  const { createClient } = await import("redis");
  const c = createClient({ socket: { host, port }, RESP: 3, ...(cached && { clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } }) });
  await c.connect();
  if (!cached) return c.pSubscribe(name, (text, channel) => message(channel, text));
  let last;
  setInterval(async () => {
    const value = await c.get(name);
    if (value !== last) message("value", (last = value));
  }, 1);
}

await (library === "ioredis" ? ioredis() : redis());
message("ready", library);
