// The search bar: mistakes at their place, completion, time.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from './support/plain.mjs';
import { on } from './support/visit.mjs';

const CHOICES = '#completions li';

/** Waits until this is offered, and says which place it has. */
async function offered(person, text) {
  await person.until(`${text} is offered`, (selector, text) => [...document.querySelectorAll(selector)].some((item) => item.innerText.startsWith(text)), CHOICES, text);
  return (await person.texts(CHOICES)).findIndex((choice) => choice.startsWith(text));
}

const query = (person) => person.page.$eval('#q', (field) => field.value);

test('a mistake is shown at its place, and mended there by keys', on('plain', async (person) => {
  person.guard.allow(400);
  assert.equal(await person.search('tag: numbered and confidnce: high'), 400);
  assert.equal(await person.text('#mistake mark'), 'confidnce');
  assert.match(await person.text('#mistake p'), /no field .*confidnce.*confidence/i);
  assert.deepEqual(await person.page.$eval('#q', (field) => [field === document.activeElement, field.selectionStart, field.getAttribute('aria-invalid'), field.getAttribute('aria-describedby')]),
    [true, 'tag: numbered and confidnce'.length, 'true', 'mistake']);

  await person.press('ArrowDown');
  const place = await offered(person, 'confidence');
  for (let step = 0; step <= place; step += 1) await person.press('ArrowDown');
  assert.equal(await person.page.$eval('#q', (field) => document.getElementById(field.getAttribute('aria-activedescendant')).innerText.split('\n')[0]), 'confidence');
  await person.press('Enter');
  assert.equal(await query(person), 'tag: numbered and confidence: high');

  assert.equal(await person.led(() => person.press('Enter')), 200);
  assert.equal(await person.total(), HOSTS / 3);
  assert.equal(await person.count('#mistake'), 0);
}));

test('a query is put together with the mouse', on('plain', async (person) => {
  await person.write('#q', 'confid');
  await offered(person, 'confidence');
  await person.click(`${CHOICES}:first-child`);
  assert.equal(await query(person), 'confidence: ');
  await offered(person, 'High');
  await (await person.named(CHOICES, 'High')).click();
  assert.match(await query(person), /^confidence: "?High"? $/);
  await person.led(() => person.press('Enter'));
  assert.ok((await person.texts('td.c-confidence')).every((cell) => cell === 'High'));
}));

test('values are offered with their counts, and Tab takes the first', on('plain', async (person) => {
  await person.write('#q', 'tag: phi');
  await offered(person, 'phishing');
  assert.match((await person.texts(CHOICES))[0], /^phishing ?2$/);
  await person.press('Tab');
  assert.match(await query(person), /^tag: "?phishing"? $/);
}));

test('Esc closes what is offered and leaves what was typed', on('plain', async (person) => {
  await person.write('#q', 'ta');
  await offered(person, 'tag');
  assert.equal(await person.page.$eval('#q', (field) => field.getAttribute('aria-expanded')), 'true');
  await person.press('Escape');
  assert.equal(await person.page.$eval('#completions', (list) => list.hidden), true);
  assert.equal(await query(person), 'ta');
}));

test('what was asked before is offered in an empty field', on('plain', async (person) => {
  await person.search('tag: phishing');
  await person.open('/');
  await person.click('#q');
  await offered(person, 'tag: phishing');
  await person.click(`${CHOICES}:first-child`);
  assert.equal(await query(person), 'tag: phishing');
}));

test('a mistake behind characters of several bytes is at its place, too', on('plain', async (person) => {
  person.guard.allow(400);
  await person.search('tag: "😀é" and typo: x');
  assert.equal(await person.text('#mistake mark'), 'typo');
  assert.equal(await person.page.$eval('#q', (field) => field.selectionStart), 'tag: "😀é" and typo'.length);
}));

test('a query that is half typed shows where it ends', on('plain', async (person) => {
  person.guard.allow(400);
  await person.search('type: (url or');
  assert.equal(await person.text('#mistake mark'), '‸');
  assert.match(await person.text('main'), /Nothing was searched/);
}));

test('what is pasted as it stands in a report is found', on('plain', async (person) => {
  await person.search('hxxps://login[.]example[.]net/reset');
  assert.deepEqual(await person.rows(), ['hxxps://login[.]example[.]net/reset?user=1']);
  await person.search('198.51.100.7');
  assert.deepEqual(await person.rows(), ['198[.]51[.]100[.]0/24']);
}));

test('a span of time is chosen from the menu', on('plain', async (person) => {
  const all = await person.total();
  await person.open('/?time=last_seen');
  await person.choose('.search .menu', 'a[href*="now-1h"]');
  assert.deepEqual([person.at('from'), person.at('to'), person.at('time')], ['now-1h', null, 'last_seen']);
  const within = await person.total();
  assert.ok(within > 0 && within < all, `${within} of ${all}`);
  assert.match(await person.text('.search .menu > summary'), /Last seen: Last hour/);
}));

test('a time is written, and what can’t be read is said', on('plain', async (person) => {
  person.guard.allow(400);
  await person.click('.search .menu > summary');
  await person.write('input[name=from]', 'yesterday');
  assert.equal(await person.follow('.search .fields button'), 400);
  assert.match(await person.text('#mistake'), /The beginning of the time “Observed” can’t be read/);
  // The menu stands open, at what is to be mended.
  await person.write('input[name=from]', 'now-1d');
  await person.write('input[name=to]', 'now');
  assert.equal(await person.follow('.search .fields button'), 200);
  assert.deepEqual([person.at('from'), person.at('to')], ['now-1d', 'now']);
  assert.ok(await person.total() > 0);
}));
