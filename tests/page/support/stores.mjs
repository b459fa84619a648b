// The stores that tests begin with. `node stores.mjs` makes all of them in the folder that TIPLINE_TEST_STORES names; each
// test works on a copy.
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { hostileObjects, hostileRecords } from './hostile.mjs';
import { plainRecords } from './plain.mjs';
import { Program, ran } from './program.mjs';

const FOLDER = process.env.TIPLINE_TEST_STORES ?? '.';

/** Where a store is. */
export const store = (name) => join(FOLDER, name);

/** The folder of a store to be made. What the first one's program has compiled is good for all. */
function begun(name, state = '.') {
  const folder = store(name);
  mkdirSync(join(folder, state), { recursive: true });
  const compiled = join(store('plain'), 'cache');
  if (existsSync(compiled)) cpSync(compiled, join(folder, state, 'cache'), { recursive: true });
  return folder;
}

/** A feed that serves these records, and STIX objects over TAXII. */
async function feed(folder, records) {
  writeFileSync(join(folder, 'records.json'), JSON.stringify(records));
  const program = new Program(folder, ['mock-feed', '--records', 'records.json']);
  return { program, url: await program.said(/ at (http:\S+)/), taxii: await program.said(/TAXII 2.1 at (http:\S+)/) };
}

/** Makes a store of what the inputs give once. */
async function made(name, records, inputs) {
  const folder = begun(name);
  const { program, url, taxii } = await feed(folder, records);
  try {
    writeFileSync(join(folder, 'tipline.yml'), `inputs:\n${inputs(url, taxii)}output:\n  sqlite: {path: tipline.db}\nstate_dir: .\n`);
    await ran(folder, 'run', '--once', '-c', 'tipline.yml');
  } finally {
    await program.end();
  }
}

const rest = (url) => `  - {id: rest, url: "${url}", feed: {name: SOC Defenders}, initial_interval: 24h}\n`;
const stix = (url) => `  - {id: stix, transport: taxii, url: "${url}", collection: all, context: true, feed: {name: Example}, initial_interval: all}\n`;

/** Few values, of which a test may know everything. */
const plain = () => made('plain', plainRecords(), rest);

/** What a feed might say to do harm. */
const hostile = () => made('hostile', [...hostileRecords(), ...hostileObjects()], (url, taxii) => rest(url) + stix(taxii));

/** Nothing at all. */
const empty = () => made('empty', [], rest);

/** What the demo has, two thousand values of nine types. */
async function demo() {
  const folder = begun('demo', '.tipline');
  await ran(folder, 'demo', '--once');
  // Where `serve` finds it, as that of any other store.
  writeFileSync(join(folder, 'tipline.yml'), 'inputs:\n  - {id: demo, url: "http://127.0.0.1:9/", feed: {name: SOC Defenders}}\noutput:\n  sqlite: {path: .tipline/demo.db}\nstate_dir: .tipline\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const make of [plain, hostile, empty, demo]) await make();
}
