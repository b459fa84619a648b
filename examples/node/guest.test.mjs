/** The guest under jco gives the bytes it gives natively. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { parse } from '@bytecodealliance/jco-transpile/wasm-tools';

import { allCases, head, lines, outcome, reject } from './cases.mjs';
import { Failure, Guest, Trap } from './guest.mjs';
import { load } from './load.mjs';
import { instantiate } from './socdefenders/socdefenders.js';

/** @import { Event, Response, Row } from './socdefenders/interfaces/tipline-input-pager.js' */

/** @param {string} text */
const bytes = (text) => new TextEncoder().encode(text);
const RECORD = bytes('{"type":"ipv4","value":"198.51.100.1"}');
const here = fileURLToPath(new URL('.', import.meta.url));
const guest = await load();

// Twice with one instance: what it mapped before must not show.
for (const round of ['first', 'again']) {
  for (const { name, config, observed, page, expected } of allCases()) {
    test(`${round}: ${name}`, () => {
      const batch = guest.mapRecords(config, observed, page);
      assert.deepEqual(outcome(batch), expected);
      assert.deepEqual(batch.heads, lines(expected.documents).map(head));
      assert.equal(batch.observed, BigInt(observed));
    });
  }
}

test('all cases went through one instance', () => assert.equal(guest.instances, 1));

test('a failure has its kind and keeps the instance', async () => {
  const guest = await load();
  for (const { config, page, kind } of [
    { config: '{"surprise":1}', page: '', kind: 'config' },
    { config: '', page: '<html>', kind: 'protocol' },
  ]) {
    assert.throws(() => guest.mapRecords(config, 0, bytes(page)), (error) => error instanceof Failure && error.kind === kind && error.text !== '');
  }
  assert.equal(guest.mapRecords('', 0, RECORD).mapped, 1);
  assert.equal(guest.instances, 1);
});

test('a trap costs the instance, and the next call has a new one', async () => {
  // Answers its first call with a failure and traps in the second: a counter that only a new instance resets.
  const wasm = await parse(`(module
    (memory (export "memory") 1)
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 16) "\\01\\00\\00\\00\\00\\00\\00\\00\\03\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "tipline:input/mapper@0.2.0#map-records") (param i32 i32 i64 i32 i32) (result i32)
      (if (global.get $calls) (then unreachable))
      (global.set $calls (i32.const 1))
      (i32.const 16))
    (func (export "cabi_post_tipline:input/mapper@0.2.0#map-records") (param i32)))`);
  const guest = new Guest(instantiate, await WebAssembly.compile(new Uint8Array(wasm)));
  for (const expected of [Failure, Trap, Failure, Trap]) {
    assert.throws(() => guest.mapRecords('', 0, RECORD), expected);
  }
  assert.equal(guest.instances, 2);
});

test('an instance is kept until its memory has grown too much', async () => {
  const guest = await load();
  for (const { records, instances } of [
    { records: 1_000, instances: 1 },
    { records: 40_000, instances: 1 },
    { records: 1, instances: 2 },
  ]) {
    const page = Array.from({ length: records }, (_, i) => `{"type":"ipv4","value":"20.1.${i >> 8}.${i & 255}"}\n`).join('');
    assert.equal(guest.mapRecords('', 0, bytes(page)).mapped, records);
    assert.equal(guest.instances, instances, `${records} records`);
  }
});

test('one damaged byte is the guest\'s to judge', () => {
  const damaged = new Uint8Array([...bytes('{"type":"domain","value":"b'), 0xff, ...bytes('.example"}')]);
  const { mapped, rejects } = guest.mapRecords('', 0, new Uint8Array([...RECORD, 10, ...damaged]));
  assert.deepEqual({ mapped, raw: rejects.map(({ raw }) => raw) }, { mapped: 1, raw: [damaged] });
});

test('a poll begins with a request', async () => {
  const { next, state } = guest.advance('{"limit":7}', '', 1_750_000_000_000, { tag: 'start' });
  assert.ok(next.tag === 'fetch' && next.val.target.startsWith('/api/v1/iocs?') && next.val.target.includes('limit=7'));
  assert.deepEqual([next.val.method, next.val.headers, next.val.body], ['GET', [['accept', 'application/json']], undefined]);
  assert.ok(state.length > 0);
});

/**
 * One poll of a TAXII server that holds one object.
 *
 * @param {string} state
 * @param {Map<string, Row> | undefined} rows what the guest remembers; a host may have no memory
 * @param {number} now
 * @param {{ modified: string, pattern: string }} version
 */
function poll(state, rows, now, version) {
  const config = '{"url":"http://127.0.0.1/root/","transport":"taxii","feed":{"name":"Example"}}';
  const id = '91a7b528-80eb-42ed-a74d-c6fbd5a26116';
  const created = '2025-06-01T00:00:00Z';
  const indicator = { type: 'indicator', spec_version: '2.1', id: 'indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f' };
  /** @type {Record<string, unknown>} */
  const served = {
    '/root/': { title: 'Root', versions: ['application/taxii+json;version=2.1'], max_content_length: 1_000_000 },
    '/root/collections/': { collections: [{ id, title: 'All', can_read: true, can_write: false }] },
    [`/root/collections/${id}/objects/`]: { objects: [{ ...indicator, created, valid_from: created, pattern_type: 'stix', ...version }] },
  };
  /** @param {string} target @returns {Response} */
  const answer = (target) => {
    const body = served[target.split('?')[0] ?? ''];
    const headers = /** @type {[string, string][]} */ ([['content-type', 'application/taxii+json;version=2.1']]);
    return { status: body === undefined ? 404 : 200, headers, body: bytes(JSON.stringify(body ?? {})) };
  };
  /** @type {any[]} */
  const documents = [];
  /** @type {Event} */
  let event = { tag: 'start' };
  for (let steps = 0; steps < 100; steps += 1) {
    const step = guest.advance(config, state, now, event);
    state = step.state;
    documents.push(...lines(step.batch?.documents ?? '').map((line) => JSON.parse(line)));
    // A host stores these together with the state, once the documents are where they belong.
    for (const row of step.remember) row.value === '' ? rows?.delete(row.key) : rows?.set(row.key, row);
    if (step.next.tag === 'fetch') event = { tag: 'response', val: answer(step.next.val.target) };
    else if (step.next.tag === 'recall' && event.tag === 'response') {
      event = { tag: 'recalled', val: [step.next.val.flatMap((key) => rows?.get(key) ?? []), event.val] };
    } else break;
  }
  return { state, documents };
}

test('what a later version no longer says is ended by a host that remembers', () => {
  const now = 1_750_000_000_000;
  const one = { modified: '2025-06-01T00:00:00Z', pattern: "[domain-name:value IN ('old.example', 'kept.example')]" };
  const two = { modified: '2025-06-10T00:00:00Z', pattern: "[domain-name:value = 'kept.example']" };
  /** @param {any} document */
  const said = ({ event, threat, tipline }) => `${threat.indicator.name} ${event.type} ${tipline.expiry_reason === 'replaced'}`;
  for (const { rows, expected } of [
    { rows: new Map(), expected: ['kept.example indicator false', 'old.example info true'] },
    { rows: undefined, expected: ['kept.example indicator false'] },
  ]) {
    const first = poll('', rows, now, one);
    assert.deepEqual(first.documents.map(said).sort(), ['kept.example indicator false', 'old.example indicator false']);
    const second = poll(first.state, rows, now + 3_600_000, two);
    assert.deepEqual(second.documents.map(said).sort(), expected);
  }
});

test('it describes itself', () => assert.equal(guest.describe().name, 'socdefenders'));

test('the command line maps a case, and says what is wrong', () => {
  const node = (/** @type {string[]} */ ...args) => spawnSync(process.execPath, ['map.mjs', ...args], { cwd: here, encoding: 'utf8' });
  const { path, expected } = allCases().find(({ name }) => name === 'hashes') ?? assert.fail('no case `hashes`');
  const mapped = node('--observed', '2024-12-09T10:30:00Z', path);
  assert.equal(mapped.stdout, expected.documents);
  assert.deepEqual(lines(mapped.stderr).slice(0, expected.rejects.length).map(reject), expected.rejects);
  assert.equal(mapped.status, 0);
  for (const { args, status, message } of [
    { args: ['package.json', '--observed', 'tomorrow'], status: 2, message: 'is no time' },
    { args: ['one', 'two'], status: 2, message: '[page.json]' },
    { args: ['--surprise'], status: 2, message: '[page.json]' },
    { args: ['nowhere.json'], status: 1, message: 'nowhere.json' },
    { args: ['map.mjs'], status: 1, message: 'protocol: ' },
  ]) {
    const failed = node(...args);
    assert.ok(failed.status === status && failed.stderr.includes(message) && failed.stdout === '', `${args}: ${failed.stderr}`);
  }
});

test('the package has types', () => {
  const types = readFileSync(new URL('./socdefenders/interfaces/tipline-input-mapper.d.ts', import.meta.url), 'utf8');
  assert.match(types, /mapRecords\(config: string, observed: bigint, records: Uint8Array\): Batch/);
});
