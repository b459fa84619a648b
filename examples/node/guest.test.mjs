/** The guest under jco gives the bytes it gives natively. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { parse } from '@bytecodealliance/jco-transpile/wasm-tools';

import { allCases, outcome } from './cases.mjs';
import { Failure, Guest, Trap } from './guest.mjs';
import { load } from './load.mjs';
import { instantiate } from './socdefenders/socdefenders.js';

const RECORD = '{"type":"ipv4","value":"198.51.100.1"}';
const here = fileURLToPath(new URL('.', import.meta.url));
const guest = await load();

// Twice with one instance: what it mapped before must not show.
for (const round of ['first', 'again']) {
  for (const { name, config, observed, page, expected } of allCases()) {
    test(`${round}: ${name}`, () => assert.deepEqual(outcome(guest.mapRecords(config, observed, page)), expected));
  }
}

test('all cases went through one instance', () => assert.equal(guest.instances, 1));

test('a failure has its kind and keeps the instance', async () => {
  const guest = await load();
  for (const { config, page, kind } of [
    { config: '{"surprise":1}', page: '', kind: 'config' },
    { config: '', page: '<html>', kind: 'protocol' },
  ]) {
    assert.throws(() => guest.mapRecords(config, 0, page), (error) => error instanceof Failure && error.kind === kind && error.text !== '');
  }
  assert.equal(guest.mapRecords('', 0, RECORD).mapped, 1);
  assert.equal(guest.instances, 1);
});

test('a trap costs the instance, and the next call has a new one', async () => {
  // Answers its first call with a failure and traps in the second: a counter that only a new instance resets.
  const bytes = await parse(`(module
    (memory (export "memory") 1)
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 16) "\\01\\00\\00\\00\\03\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "tipline:input/mapper@0.1.0#map-records") (param i32 i32 i64 i32 i32) (result i32)
      (if (global.get $calls) (then unreachable))
      (global.set $calls (i32.const 1))
      (i32.const 16))
    (func (export "cabi_post_tipline:input/mapper@0.1.0#map-records") (param i32)))`);
  const guest = new Guest(instantiate, await WebAssembly.compile(new Uint8Array(bytes)));
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
    assert.equal(guest.mapRecords('', 0, page).mapped, records);
    assert.equal(guest.instances, instances, `${records} records`);
  }
});

test('a poll begins with a request', async () => {
  const { next, state } = guest.advance('{"limit":7}', '', 1_750_000_000_000, { tag: 'start' });
  assert.ok(next.tag === 'fetch' && next.val.target.startsWith('/api/v1/iocs?') && next.val.target.includes('limit=7'));
  assert.ok(state.length > 0);
});

test('it describes itself', () => assert.equal(guest.describe().name, 'socdefenders'));

test('the command line maps a case, and says what is wrong', () => {
  const node = (/** @type {string[]} */ ...args) => spawnSync(process.execPath, ['map.mjs', ...args], { cwd: here, encoding: 'utf8' });
  const { path, expected } = allCases().find(({ name }) => name === 'hashes') ?? assert.fail('no case `hashes`');
  const mapped = node('--observed', '2024-12-09T10:30:00Z', path);
  assert.equal(mapped.stdout, expected.documents);
  assert.ok(mapped.stderr.startsWith(expected.rejects) && mapped.status === 0, mapped.stderr);
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
  assert.match(types, /mapRecords\(config: string, observed: bigint, records: string\): Batch/);
});
