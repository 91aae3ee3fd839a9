// Drives a Redis Cluster client of npm for the test: a command a line on standard
// input, an answer a line on standard output.
//   node driver.mjs ioredis|redis HOST:PORT…
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [library, ...addrs] = process.argv.slice(2);
const nodes = addrs.map((a) => ({ host: a.split(":")[0], port: Number(a.split(":")[1]) }));
const ended = { stop: false };

// How to connect, and how the load goes, says the environment.
const secrets = process.env.CLIENT_PASSWORD && {
  password: process.env.CLIENT_PASSWORD,
  tls: { ca: readFileSync(process.env.CLIENT_CA), cert: readFileSync(process.env.CLIENT_CERT), key: readFileSync(process.env.CLIENT_KEY), servername: "localhost" },
};
const every = Number(process.env.LOAD_EVERY ?? 2); // ms from one write of a loop to the next
const keys = Number(process.env.LOAD_KEYS ?? Infinity); // that a loop writes again and again

async function openIORedis() {
  const { Cluster } = await import("ioredis");
  const c = new Cluster(nodes, { redisOptions: { commandTimeout: 5000, ...secrets }, clusterRetryStrategy: (n) => Math.min(100 * n, 1000) });
  c.on("error", () => {});
  return {
    call: (key, ...args) => c.call(...args.map(String)),
    pipeline: async (commands) => {
      const byNode = commands.map((args) => c.call(...args.map(String))); // batched per node by the client
      return Promise.all(byNode);
    },
    multi: async (key, commands) => {
      const m = c.multi();
      for (const args of commands) m.call(...args.map(String));
      return (await m.exec()).map(([err, value]) => { if (err) throw err; return value; });
    },
    close: () => c.disconnect(),
  };
}

async function openNodeRedis() {
  const { createCluster } = await import("redis");
  const c = createCluster({ rootNodes: nodes.map((n) => ({ url: `redis://${n.host}:${n.port}` })) });
  c.on("error", () => {});
  c.on("node-error", () => {});
  await c.connect();
  const send = (key, args) => c.sendCommand(key, false, args.map(String));
  return {
    call: (key, ...args) => send(key, args),
    pipeline: (commands) => Promise.all(commands.map((args) => send(args[1], args))),
    multi: async (key, commands) => {
      let m = c.multi(key);
      for (const args of commands) m = m.addCommand(key, false, args.map(String));
      return m.exec();
    },
    close: () => c.destroy(),
  };
}

function want(got, wanted) {
  if (String(got) !== String(wanted)) throw new Error(`got ${got}, want ${wanted}`);
}

const tests = {
  async basic(c) {
    const k = `${library}/basic`;
    want(await c.call(k, "SET", k, "hello"), "OK");
    want(await c.call(k, "GET", k), "hello");
    want(await c.call(k, "APPEND", k, "!"), 6);
    want(await c.call(k, "GETRANGE", k, 0, 4), "hello");
    want(await c.call(k, "SET", k, "x", "NX"), null);
    want(await c.call(k, "DEL", k), 1);
    want(await c.call(k, "GET", k), null);
    want(await c.call(k, "INCRBY", k, 7), 7);
    want(await c.call(`{${k}}a`, "MSET", `{${k}}a`, 1, `{${k}}b`, 2), "OK");
    want(await c.call(`{${k}}a`, "MGET", `{${k}}a`, `{${k}}b`), "1,2");
  },
  async ttl(c) {
    const k = `${library}/ttl`;
    want(await c.call(k, "SET", k, "v", "PX", 60000), "OK");
    want(await c.call(k, "TTL", k), 60);
    want(await c.call(k, "PERSIST", k), 1);
    want(await c.call(k, "TTL", k), -1);
    want(await c.call(k, "PEXPIRE", k, 1), 1);
    for (let n = 0; (await c.call(k, "GET", k)) !== null; n++) if (n > 1000) throw new Error("does not expire");
  },
  async pipeline(c) {
    const keys = Array.from({ length: 1000 }, (_, i) => `${library}/pipeline/${i}`);
    for (const r of await c.pipeline(keys.map((k, i) => ["SET", k, i]))) want(r, "OK");
    (await c.pipeline(keys.map((k) => ["GET", k]))).forEach((r, i) => want(r, i));
  },
  async routing(c) {
    for (let i = 0; i < 300; i++) want(await c.call(`${library}/route/${i}`, "INCR", `${library}/route/${i}`), 1);
  },
  async multi(c) {
    const k = `{${library}/multi}`;
    want(await c.multi(k, [["SET", k + "a", 1], ["INCR", k + "a"], ["GET", k + "a"]]), "OK,2,2");
  },
};

const load = { acked: new Map(), done: 0, errors: 0, last: "", longest: 0, ended: null };

async function write(c, loop) {
  for (let i = 0; !ended.stop; i++) {
    const key = `${library}/load/${loop}/${keys < Infinity ? i % keys : i}`;
    const began = Date.now();
    try {
      await c.call(key, "SET", key, i);
      load.acked.set(key, i);
      load.done++;
    } catch (err) {
      load.acked.delete(key); // nobody knows
      load.errors++;
      if (process.env.LOAD_EVERY) console.error(new Date().toISOString(), library, String(err.message));
      load.last = String(err.message).slice(0, 80);
    }
    load.longest = Math.max(load.longest, Date.now() - began);
    await new Promise((r) => setTimeout(r, every));
  }
}

async function finish(c) {
  ended.stop = true;
  await load.ended;
  let lost = 0;
  for (const [key, value] of load.acked) {
    let got;
    for (let n = 0; ; n++) {
      try { got = await c.call(key, "GET", key); break; } catch (err) { if (n > 300) throw err; await new Promise((r) => setTimeout(r, 100)); }
    }
    if (got !== String(value)) lost++;
  }
  return { acked: load.done, errors: load.errors, lost, longest: load.longest, last: load.last };
}

const require = createRequire(import.meta.url);
const version = JSON.parse(readFileSync(require.resolve(library).replace(new RegExp(`(.*node_modules/${library})/.*`), "$1/package.json"))).version;
const client = library === "ioredis" ? await openIORedis() : await openNodeRedis();
console.log(JSON.stringify({ version }));
for await (const line of createInterface({ input: process.stdin })) {
  let answer = {};
  try {
    if (line === "load") load.ended = Promise.all([0, 1, 2, 3].map((n) => write(client, n)));
    else if (line === "finish") answer = await finish(client);
    else await tests[line](client);
  } catch (err) {
    answer = { error: String(err.stack ?? err) };
  }
  console.log(JSON.stringify(answer));
}
client.close();
