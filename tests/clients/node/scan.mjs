// Scans by a client of npm for the test, as its users do: prints the names that came, as
// JSON. It gives up after ten times as many as there are.
//   node scan.mjs ioredis|redis4|redis5|redis HOST:PORT KEYS [cluster]
const [library, addr, keys, cluster] = process.argv.slice(2);
const [host, port] = [addr.split(":")[0], Number(addr.split(":")[1])];
const names = [];

function add(more) {
  names.push(...[more].flat());
  if (names.length > 10 * Number(keys)) throw new Error(`${names.length} names, ${new Set(names).size} different ones, and no end`);
}

async function ioredis() {
  const { Cluster, Redis } = await import("ioredis");
  const c = cluster ? new Cluster([{ host, port }]) : new Redis({ host, port });
  if (cluster) await new Promise((ready) => c.once("ready", ready));
  for (const node of cluster ? c.nodes("master") : [c]) for await (const page of node.scanStream({ count: 7 })) add(page);
}

async function redis() {
  const { createClient, createCluster } = await import(library);
  const url = `redis://${host}:${port}`;
  const c = cluster ? createCluster({ rootNodes: [{ url }] }) : createClient({ url });
  await c.connect();
  // Version 4 lists a master once for each run of slots.
  const nodes = cluster ? await Promise.all([...new Set(c.masters)].map((m) => c.nodeClient(m))) : [c];
  for (const node of nodes) for await (const page of node.scanIterator({ COUNT: 7 })) add(page); // a name in version 4
}

await (library === "ioredis" ? ioredis() : redis());
console.log(JSON.stringify(names));
process.exit(0); // the connections are of no use any more
