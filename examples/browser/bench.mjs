// Prints how many records a second the page maps: the demo's first thousand records, opened as a file, the median of 41 times.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { launch, PAGE } from './chromium.mjs';

const ROUNDS = 41;

const folder = await mkdtemp(join(tmpdir(), 'tipline-bench-'));
const demo = await readFile(new URL('../../tests/corpus/demo.jsonl', import.meta.url), 'utf8');
const file = join(folder, 'page.json');
await writeFile(file, `{"data":[${demo.split('\n').slice(0, 1_000).join(',')}]}`);
const browser = await launch(folder);
try {
  const page = await browser.newPage();
  await page.goto(PAGE.href);
  const shown = (run) => page.waitForFunction((run) => document.getElementById('status').dataset.run === String(run), {}, run);
  await shown(1);
  const speeds = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await (await page.$('#file')).uploadFile(file);
    await shown(round + 2);
    speeds.push(Number(await page.$eval('#status', ({ dataset }) => dataset.speed)));
  }
  const median = speeds.sort((a, b) => a - b)[ROUNDS >> 1];
  console.log(`browser ${median.toLocaleString('en')} records/s`);
} finally {
  await browser.close();
  await rm(folder, { recursive: true, force: true });
}
