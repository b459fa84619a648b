// Exports of a view.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from './support/plain.mjs';
import { on } from './support/visit.mjs';

const VIEW = '/?q=tag:+numbered&page=2';

/** Exports the view by its menu. */
async function exported(person, title) {
  await person.click('details.menu:has(a[href^="/export"]) > summary');
  return person.download(async () => (await person.named('a[href^="/export"]', title)).click());
}

test('CSV has a head and a line for each claim', on('plain', async (person) => {
  await person.open(VIEW);
  const { name, text } = await exported(person, 'CSV');
  const [head, ...rows] = text.trim().split('\r\n');
  assert.deepEqual([name, rows.length], ['indicators.csv', HOSTS]);
  assert.match(head, /^"type","value","feed","provider","confidence"/);
  assert.ok(rows.every((row) => /^"domain-name","host-\d\d\.example\.net","SOC Defenders",/.test(row)), rows[0]);
}));

test('NDJSON has a document a line', on('plain', async (person) => {
  await person.open(VIEW);
  const { name, text } = await exported(person, 'NDJSON');
  const documents = text.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual([name, documents.length], ['indicators.ndjson', HOSTS]);
  assert.ok(documents.every((document) => document.tags.includes('numbered')));
}));

test('STIX is a bundle with an indicator for each', on('plain', async (person) => {
  await person.open(VIEW);
  const { name, text } = await exported(person, 'STIX');
  const bundle = JSON.parse(text);
  assert.deepEqual([name, bundle.type], ['indicators.json', 'bundle']);
  const indicators = bundle.objects.filter((object) => object.type === 'indicator');
  assert.deepEqual([indicators.length, indicators.every((one) => one.spec_version === '2.1' && one.pattern_type === 'stix')], [HOSTS, true]);
}));

test('the plain list has a value a line, each once', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered+or+tag:+shared');
  const { name, text } = await exported(person, 'Plain list');
  const values = text.trim().split('\n');
  assert.deepEqual([name, values.length, new Set(values).size], ['indicators.txt', HOSTS + 1, HOSTS + 1]);
  assert.ok(values.includes('shared.example.net'));
}));

test('what can’t be exported says why', on('plain', async (person) => {
  person.guard.allow(400);
  for (const [address, words] of [['/export?format=pdf', /no such format/], ['/export?format=csv&q=(', /can’t be understood/]]) {
    assert.equal(await person.open(address), 400);
    assert.match(await person.text('main'), words);
  }
}));
