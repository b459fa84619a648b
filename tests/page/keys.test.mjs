// The keyboard.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const SORTED = '/?q=tag:+numbered&sort=indicator:asc';
const at = (person) => person.page.$$eval('.indicators tbody tr', (rows) => rows.findIndex((row) => row.classList.contains('at')) + 1);

test('/ goes to the search bar, Esc away from it', on('plain', async (person) => {
  await person.press('/');
  assert.equal(await person.page.$eval('#q', (field) => [field === document.activeElement, field.value].join()), 'true,');
  await person.press('Escape');
  assert.equal(await person.page.$eval('#q', (field) => field === document.activeElement), false);
}));

test('j and k go through the rows, and stay within them', on('plain', async (person) => {
  await person.open(SORTED);
  await person.press('j', 'j', 'j', 'k');
  assert.equal(await at(person), 2);
  await person.press('k', 'k', 'k');
  assert.equal(await at(person), 1);
  assert.equal(await person.page.evaluate(() => document.activeElement.textContent), 'host-00[.]example[.]net');
}));

test('Enter opens a row’s details, Esc closes them', on('plain', async (person) => {
  await person.open(SORTED);
  await person.press('j', 'j');
  await person.led(() => person.press('Enter'));
  assert.equal(await person.text('.side h1'), 'host-01[.]example[.]net');
  // The next row is the one below.
  await person.press('j');
  assert.equal(await at(person), 3);
  await person.led(() => person.press('Escape'));
  assert.equal(await person.count('.side'), 0);
}));

test('x selects a row, and takes it back', on('plain', async (person) => {
  await person.open(SORTED);
  await person.press('j', 'x', 'j', 'x');
  assert.equal(await person.text('#selection strong'), '2 selected');
  await person.press('x');
  assert.equal(await person.text('#selection strong'), '1 selected');
}));

test('f filters in what has the focus, F filters it out', on('plain', async (person) => {
  await person.open(SORTED);
  await person.press('j');
  await person.led(() => person.press('f'));
  assert.equal(person.at('q'), 'tag: numbered and value: "host-00.example.net"');
  await person.open(SORTED);
  await person.press('j');
  await person.led(() => person.press('F'));
  assert.equal(person.at('q'), 'tag: numbered and not value: "host-00.example.net"');
}));

test('c copies, C copies defanged', on('plain', async (person) => {
  await person.open(SORTED);
  await person.press('j', 'c');
  await person.untilText('.told', 'Value copied');
  assert.equal(await person.copied(), 'host-00.example.net');
  await person.press('C');
  await person.untilText('.told', 'Defanged value copied');
  assert.equal(await person.copied(), 'host-00[.]example[.]net');
}));

test('c copies the row’s value and nothing else', on('hostile', async (person) => {
  await person.open('/?q=type:+url+and+long.example.org');
  await person.press('j', 'c');
  await person.element('.told');
  assert.match(await person.copied(), /^http:.*long-x+$/);
}));

test('n and p go to the next page and back', on('plain', async (person) => {
  await person.open(SORTED);
  await person.led(() => person.press('n'));
  assert.equal(person.at('page'), '2');
  await person.led(() => person.press('p'));
  assert.equal(person.at('page'), null);
}));

test('? shows all keys, and hides them', on('plain', async (person) => {
  await person.press('?');
  await person.element('dialog[open]');
  const keys = await person.texts('dialog kbd');
  for (const key of ['/', 'j', 'k', 'Enter', 'x', 'f', 'F', 'c', 'C', 'n', 'p', 'Esc', '?']) assert.ok(keys.includes(key), key);
  await person.press('Escape');
  await person.untilGone('dialog');
  await person.click('#keys');
  await (await person.named('dialog button', 'Close')).click();
  await person.untilGone('dialog');
}));

test('keys are letters where something is typed', on('plain', async (person) => {
  await person.click('#q');
  await person.page.keyboard.type('jkxn?');
  assert.deepEqual([await person.page.$eval('#q', (field) => field.value), await at(person), await person.count('dialog')], ['jkxn?', 0, 0]);
}));

test('Esc closes a menu before anything else', on('plain', async (person) => {
  await person.open('/?q=value:+shared.example.net');
  await person.follow('td.c-indicator a.name');
  await person.click('#views > summary');
  await person.element('#views[open]');
  await person.press('Escape');
  await person.untilGone('#views[open]');
  assert.equal(await person.count('.side'), 1);
}));
