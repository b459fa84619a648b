/** The guest's own table of cases, as its tests have it: a page, its settings, and the bytes that must come out. */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { rejectLine } from './guest.mjs';

/** @import { Batch, Head } from './socdefenders/interfaces/tipline-input-mapper.js' */

const FOLDER = new URL('../../guest/tests/cases/', import.meta.url);
/** Of a case without a file of this name. */
const OBSERVED = '2024-12-09T10:30:00Z';
const COUNTS = /** @type {const} */ (['read', 'mapped', 'rejected', 'skipped']);

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
      page: readFileSync(path('page.json')),
      expected: {
        documents: text('expected.ndjson'),
        rejects: lines(text('expected-rejects.ndjson')).map(reject),
        counts: text('expected-counts.txt'),
      },
    };
  });
}

/** Lines end by a line feed. @param {string} text */
export const lines = (text) => text.split('\n').slice(0, -1);

/** What a line of rejects says of one; when it was observed is known. @param {string} line */
export function reject(line) {
  const { observed: _, ...said } = JSON.parse(line);
  return said;
}

/**
 * What the head beside a document must say.
 *
 * @param {string} line
 * @returns {Head}
 */
export function head(line) {
  const { event, tipline } = JSON.parse(line);
  const expires = tipline.expires_at === undefined ? undefined : BigInt(Date.parse(tipline.expires_at));
  return { id: event.id, version: BigInt(event.sequence), expires, length: Buffer.byteLength(line) };
}

/** @param {Batch} batch */
export function outcome(batch) {
  let counts = COUNTS.map((name) => `${name} ${batch[name]}\n`).join('');
  counts += `documents ${batch.heads.length}\n`;
  counts += batch.skips.map(({ reason, count }) => `skipped for: ${reason} ${count}\n`).join('');
  counts += batch.notes.map(({ code, text }) => `note: ${code} ${text}\n`).join('');
  return { documents: batch.documents, rejects: batch.rejects.map((found) => reject(rejectLine(found, batch.observed))), counts };
}
