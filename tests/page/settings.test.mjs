// What the browser keeps: theme, zone, how often to look again.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const ground = (person) => person.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);

test('the theme is the system’s, until another is chosen', on('plain', async (person) => {
  const light = await ground(person);
  await person.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
  const dark = await ground(person);
  assert.notEqual(dark, light);
  await person.click('#theme');
  assert.equal(await ground(person), light);
  await person.open('/health');
  assert.equal(await ground(person), light);
  await person.click('#theme');
  assert.equal(await ground(person), dark);
}));

test('times are in UTC, or in the browser’s zone', on('plain', async (person) => {
  await person.page.emulateTimezone('Asia/Kathmandu');
  await person.open('/');
  const seen = () => person.page.$$eval('td.c-last_seen time', (times) => times.map((time) => [time.dateTime, time.textContent]));
  const written = (at) => at.toISOString().slice(0, 16).replace('T', ' ');
  for (const [time, text] of await seen()) assert.equal(text, written(new Date(time)));
  await person.click('#zone');
  assert.equal(await person.text('#zone'), 'Local');
  const ahead = (5 * 60 + 45) * 60_000;
  for (const [time, text] of await seen()) assert.equal(text, written(new Date(Date.parse(time) + ahead)));
  await person.open('/?size=50');
  assert.equal(await person.text('#zone'), 'Local');
  await person.click('#zone');
  for (const [time, text] of await seen()) assert.equal(text, written(new Date(time)));
}));

test('the trend is in that zone, too', on('plain', async (person) => {
  await person.page.emulateTimezone('Asia/Kathmandu');
  await person.open('/?time=last_seen');
  const before = await person.texts('.axis span');
  await person.click('#zone');
  const after = await person.texts('.axis span');
  assert.ok(after.join() !== before.join() || /UTC/.test(await person.text('.trend')), after.join());
}));

/** Makes seconds pass in a moment, and counts them. */
const hurry = (person) => person.page.evaluateOnNewDocument(() => {
  const real = window.setInterval;
  window.passed = 0;
  window.setInterval = (act, every) => real(() => { window.passed += 1; act(); }, every / 100);
});

/** Marks the page, to be told from the next one. */
const mark = (person) => person.page.evaluate(() => { document.documentElement.dataset.old = ''; });
const untilNew = (person) => person.until('the board is another one', () => document.readyState === 'complete' && !('old' in document.documentElement.dataset));

test('the board looks again by itself, if that is wanted', on('plain', async (person) => {
  await hurry(person);
  await person.open('/');
  await person.click('.search .menu > summary');
  await person.page.select('#refresh', '30');
  await mark(person);
  await person.press('Escape');
  await untilNew(person);
  assert.equal(await person.page.evaluate(() => localStorage.getItem('tipline.refresh')), '30');
}));

test('the board stays while somebody is at work on it', on('plain', async (person) => {
  await hurry(person);
  await person.open('/');
  await person.press('j', 'x');
  await mark(person);
  await person.click('.search .menu > summary');
  await person.page.select('#refresh', '30');
  await person.press('Escape');
  await person.until('more than 30 seconds have passed', () => window.passed > 60);
  assert.equal(await person.text('#selection strong'), '1 selected');
  // Nothing is selected any more.
  await person.press('x');
  await untilNew(person);
}));
