// A list is checked: what is pasted or chosen is looked up, and the answer filtered and exported.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { LINK, ran } from './support/program.mjs';
import { enter, on } from './support/visit.mjs';

const REPORT = `Report of an incident
The mail from billing[at]mail[.]example[.]net led to hxxps://login[.]example[.]net/reset?user=1 (see CVE-2024-3094).
Traffic went to 198.51.100.77, 203[.]0[.]113[.]9, 10.0.0.1 and over.example.net, then to new.example.net and new.example.net.`;

/** Pastes a text and has it looked up. */
async function check(person, text) {
  await person.open('/check');
  await person.page.$eval('#text', (field, text) => { field.value = text; }, text);
  return person.led(async () => (await person.named('form.check button', 'Look up')).click());
}

/** The verdicts of the values, as the table has them. */
const verdicts = (person) => person.page.$$eval('table.indicators tbody tr', (rows) => Object.fromEntries(rows.map((row) => [row.querySelector('.c-indicator').innerText.trim(), row.querySelector('.verdict').innerText])));

const tallied = (person) => person.page.$$eval('.tally a', (links) => Object.fromEntries(links.map((link) => [link.querySelector('span').innerText, Number(link.querySelector('strong').innerText)])));

test('each value of a report has its verdict', on('plain', async (person) => {
  await check(person, REPORT);
  assert.deepEqual(await verdicts(person), {
    'billing[at]mail[.]example[.]net': 'known',
    'hxxps://login[.]example[.]net/reset?user=1': 'known',
    'CVE-2024-3094': 'known',
    '203[.]0[.]113[.]9': 'known',
    '198[.]51[.]100[.]77': 'in range',
    // The host of an address is a value, too.
    'login[.]example[.]net': 'host of a known URL',
    'over[.]example[.]net': 'ended',
    '10[.]0[.]0[.]1': 'harmless',
    'new[.]example[.]net': 'unknown',
  });
  assert.deepEqual(await tallied(person), { all: 9, known: 4, 'in range': 1, 'host of a known URL': 1, ended: 1, harmless: 1, unknown: 1 });
}));

test('a value that stands twice is counted twice', on('plain', async (person) => {
  await check(person, REPORT);
  const times = await person.page.$$eval('table.indicators tbody tr', (rows) => Object.fromEntries(rows.map((row) => [row.querySelector('.c-indicator').innerText.trim(), row.querySelector('[data-title=Times]').innerText])));
  assert.deepEqual([times['new[.]example[.]net'], times['10[.]0[.]0[.]1']], ['2', '1']);
}));

test('an answer is filtered by verdict, and exported so', on('plain', async (person) => {
  await check(person, REPORT);
  const list = async () => (await person.download(async () => (await person.named('a[download]', 'Plain list')).click())).text.trim().split('\n').sort();
  const whole = await list();
  assert.ok(whole.includes('198.51.100.0/24') && whole.includes('over.example.net'), whole.join());
  await person.led(async () => (await person.named('.tally a', 'known')).click());
  assert.deepEqual(Object.values(await verdicts(person)), ['known', 'known', 'known', 'known']);
  assert.deepEqual(await list(), ['203.0.113.9', 'CVE-2024-3094', 'billing@mail.example.net', 'https://login.example.net/reset?user=1']);
  // Of what is unknown there is nothing to export.
  await person.led(async () => (await person.named('.tally a', 'unknown')).click());
  assert.equal(await person.count('a[download]'), 0);
}));

test('an answer is exported in each format', on('plain', async (person) => {
  await check(person, REPORT);
  for (const [title, name, part] of [['CSV', 'indicators.csv', '"203.0.113.9"'], ['NDJSON', 'indicators.ndjson', '"203.0.113.9"'], ['STIX 2.1', 'indicators.json', "value = '203.0.113.9'"]]) {
    const sent = await person.download(async () => (await person.named('a[download]', title)).click());
    assert.equal(sent.name, name);
    assert.ok(sent.text.includes(part), title);
  }
}));

test('what is known leads to its details', on('plain', async (person) => {
  await check(person, REPORT);
  await (await person.named('td.c-indicator a', 'hxxps')).click();
  await person.untilText('h1', 'hxxps://login[.]example[.]net/reset?user=1');
  assert.match(person.address, /^\/indicators\//);
}));

test('a file is chosen', on('plain', async (person) => {
  const file = join(person.folder, 'firewall.log');
  writeFileSync(file, 'deny 203.0.113.9 -> 10.0.0.1\n');
  await person.open('/check');
  await (await person.page.$('#file')).uploadFile(file);
  await person.untilText('#chosen', 'firewall.log');
  await person.led(async () => (await person.named('form.check button', 'Look up')).click());
  assert.deepEqual(await verdicts(person), { '203[.]0[.]113[.]9': 'known', '10[.]0[.]0[.]1': 'harmless' });
}));

test('a file is dropped', on('plain', async (person) => {
  await person.open('/check');
  await person.page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['203.0.113.9\n'], 'dropped.txt', { type: 'text/plain' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  });
  await person.untilText('#chosen', 'dropped.txt');
  await person.led(async () => (await person.named('form.check button', 'Look up')).click());
  assert.deepEqual(await verdicts(person), { '203[.]0[.]113[.]9': 'known' });
}));

test('a text without values says so', on('plain', async (person) => {
  await check(person, 'Nothing to see here');
  assert.match(await person.text('main'), /no value that could be looked up/);
}));

test('an answer is for who has asked', on('plain', async (person) => {
  await check(person, REPORT);
  const link = (await ran(person.folder, 'open', '-c', 'tipline.yml')).match(LINK)[1];
  const { person: other, leave } = await enter(link, person.folder, { apart: true });
  other.guard.allow(404);
  assert.equal(await other.open(person.address), 404);
  assert.match(await other.text('main'), /no longer kept/);
  await leave();
}));

test('lists are checked where nothing else may be changed', on('plain', { args: ['--read-only'] }, async (person) => {
  await check(person, '203.0.113.9');
  assert.deepEqual(await verdicts(person), { '203[.]0[.]113[.]9': 'known' });
}));
