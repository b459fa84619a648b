/**
 * `node map.mjs [--config FILE] [--observed TIME] [FILE]`: maps a page to documents, one a line, on standard output.
 * Rejects and counts go to standard error. Without a file, standard input is read.
 */

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { Failure, Trap, rejectLine } from './guest.mjs';
import { load } from './load.mjs';

const USAGE = 'node map.mjs [--config settings.json] [--observed 2024-12-09T10:30:00Z] [page.json]';

/** @param {string} message @param {number} status @returns {never} */
function fail(message, status) {
  console.error(message);
  process.exit(status);
}

function given() {
  try {
    return parseArgs({ allowPositionals: true, options: { config: { type: 'string' }, observed: { type: 'string' } } });
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}\n${USAGE}`, 2);
  }
}

const { values, positionals } = given();
if (positionals.length > 1) fail(USAGE, 2);
const observed = values.observed === undefined ? Date.now() : Date.parse(values.observed);
if (!(observed >= 0)) fail(`--observed ${values.observed} is no time since 1970, such as 2024-12-09T10:30:00Z.`, 2);

try {
  const config = values.config === undefined ? '' : await readFile(values.config, 'utf8');
  const page = await readFile(positionals[0] ?? '/dev/stdin');
  const batch = (await load()).mapRecords(config, observed, page);
  process.stdout.write(batch.documents);
  for (const reject of batch.rejects) console.error(rejectLine(reject, batch.observed));
  const { read, mapped, rejected, skipped, heads } = batch;
  console.error(`read ${read}, mapped ${mapped}, rejected ${rejected}, skipped ${skipped}; ${heads.length} documents`);
  for (const { reason, count } of batch.skips) console.error(`  skipped ${count}: ${reason}`);
  for (const { code, text } of batch.notes) console.error(`  ${code}: ${text}`);
} catch (error) {
  const isKnown = error instanceof Failure || error instanceof Trap || error instanceof Error;
  fail(isKnown ? error.message : String(error), 1);
}
