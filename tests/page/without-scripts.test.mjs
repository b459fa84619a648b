// With JavaScript off: everything to be read is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from './support/plain.mjs';
import { on } from './support/visit.mjs';

const off = { javascript: false };

/** What the rows name. Which cell is of which column is told to scripts by the heads. */
const names = (person) => person.texts('table.found tbody a.name');

test('it searches, and shows a mistake', on('plain', off, async (person) => {
  person.guard.allow(400);
  await person.search('tag: numbered');
  assert.equal(await person.total(), HOSTS);
  assert.equal(await person.search('tagg: numbered'), 400);
  assert.equal(await person.text('#mistake mark'), 'tagg');
}));

test('it pages and sorts', on('plain', off, async (person) => {
  await person.open('/?q=tag:+numbered');
  await person.follow('th.c-indicator a');
  assert.equal((await names(person))[0], 'host-00[.]example[.]net');
  await person.follow('a[rel=next]');
  assert.equal((await names(person))[0], 'host-25[.]example[.]net');
}));

test('it opens details, their tabs and their own link', on('plain', off, async (person) => {
  await person.open('/?q=value:+shared.example.net');
  await person.follow('tbody a.name');
  assert.equal(await person.text('.side h1'), 'shared[.]example[.]net');
  await person.follow('.tabs a[href*="tab=json"]');
  assert.match(await person.text('pre.json'), /"shared\.example\.net"/);
  await person.follow('a[aria-label="This alone"]');
  assert.equal(await person.text('h1'), 'shared[.]example[.]net');
}));

test('it opens details of a long page, alone if need be', on('plain', off, async (person) => {
  for (const query of ['/?size=250', `/?size=250&q=${encodeURIComponent('tag: numbered or tag: shared or tag: odd or tag: even or tag: over or value: host-0*')}`]) {
    await person.open(query);
    const [first] = await names(person);
    await person.follow('tbody a.name');
    assert.equal(await person.text('.details h1'), first);
  }
}));

test('its menus open, and columns are chosen', on('plain', off, async (person) => {
  await person.click('#columns > summary');
  await person.click('#columns input[value=type]');
  await person.follow('#columns button[type=submit]');
  assert.equal(await person.count('th.c-type'), 0);
}));

test('it filters by the counts on the left', on('plain', off, async (person) => {
  await person.led(async () => (await person.named('.facet a.in', 'phishing')).click());
  assert.equal(await person.total(), 2);
}));

test('it saves a view and checks a list', on('plain', off, async (person) => {
  await person.click('#views > summary');
  await person.write('#name', 'Without scripts');
  await person.follow('#views button[type=submit]');
  await person.open('/views');
  assert.deepEqual(await person.texts('.saved h2'), ['Without scripts']);
  await person.open('/check');
  await person.write('#text', '203.0.113.9');
  await person.follow('form.check button.primary');
  assert.equal(await person.text('.verdict'), 'known');
}));

test('nothing is shown that would do nothing', on('plain', off, async (person) => {
  const shown = await person.page.$$eval('.scripted', (elements) => elements.filter((element) => element.getClientRects().length > 0).length);
  assert.equal(shown, 0);
}));
