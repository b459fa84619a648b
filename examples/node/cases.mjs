/** The guest's own table of cases, as its tests have it: a page, its settings, and the bytes that must come out. */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** @import { Batch } from './socdefenders/interfaces/tipline-input-mapper.js' */

const FOLDER = new URL('../../guest/tests/cases/', import.meta.url);
/** Of a case without a file of this name. */
const OBSERVED = '2024-12-09T10:30:00Z';
const COUNTS = /** @type {const} */ (['read', 'mapped', 'rejected', 'skipped', 'made', 'merged']);

/** Bytes as they are: no mark is dropped, nothing is replaced. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function allCases() {
  const names = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  if (names.length === 0) throw new Error(`${FOLDER} holds no case. Run this inside a whole clone of the repository.`);
  return names.sort().map((name) => {
    /** @param {string} file */
    const path = (file) => new URL(`${name}/${file}`, FOLDER);
    /** @param {string} file */
    const text = (file) => (existsSync(path(file)) ? utf8.decode(readFileSync(path(file))) : '');
    return {
      name,
      path: fileURLToPath(path('page.json')),
      config: text('config.json'),
      observed: Date.parse(text('observed').trim() || OBSERVED),
      page: utf8.decode(readFileSync(path('page.json'))),
      expected: { documents: text('expected.ndjson'), rejects: text('expected-rejects.ndjson'), counts: text('expected-counts.txt') },
    };
  });
}

/** @param {Batch} batch */
export function outcome(batch) {
  let counts = COUNTS.map((name) => `${name} ${batch[name]}\n`).join('');
  counts += batch.skips.map(({ reason, count }) => `skipped for: ${reason} ${count}\n`).join('');
  return { documents: batch.documents, rejects: batch.rejects, counts };
}
