/** Prints how many records a second one core maps: the demo's records in pages of a thousand, the median of five rounds. */

import { readFileSync } from 'node:fs';

import { load } from './load.mjs';

const PAGE = 1_000;
const ROUND = 700;
const ROUNDS = 5;

const lines = readFileSync(new URL('../../tests/corpus/demo.jsonl', import.meta.url), 'utf8').trimEnd().split('\n');
const pages = [];
for (let at = 0; at + PAGE <= lines.length; at += PAGE) pages.push(Buffer.from(`{"data":[${lines.slice(at, at + PAGE).join(',')}]}`));

const began = performance.now();
const guest = await load();
guest.describe();
const loaded = performance.now() - began;

const speeds = [];
for (let round = 0; round < ROUNDS; round += 1) {
  const began = performance.now();
  let read = 0;
  while (performance.now() - began < ROUND) {
    for (const page of pages) read += guest.mapRecords('{"allow_private":true}', 1_750_000_000_000, page).read;
  }
  speeds.push((read / (performance.now() - began)) * 1_000);
}
const median = speeds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0;
console.log(`node ${Math.round(median).toLocaleString('en')} records/s; the component loads in ${loaded.toFixed()} ms`);
