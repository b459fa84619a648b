// Saved views, and the lists that other programs fetch of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from './support/plain.mjs';
import { on } from './support/visit.mjs';

/** Saves the view that is open, by its menu. */
async function save(person, name) {
  await person.click('#views > summary');
  await person.write('#name', name);
  return person.follow('#views button[type=submit]');
}

/** Makes a key of the only view's list, and gives the list's address. */
async function listed(person) {
  await person.open('/views');
  await person.led(async () => (await person.named('.saved button', 'New list address')).click());
  return person.text('.notice pre code');
}

test('a view is saved, and opened again', on('plain', async (person) => {
  await person.open('/?q=tag:+odd&sort=indicator:asc&columns=indicator,tags&page=2');
  await save(person, 'Odd ones');
  assert.deepEqual([person.at('q'), person.at('page'), person.at('done')], ['tag: odd', null, null]);
  assert.match(await person.text('.outcome'), /saved as “Odd ones”/);
  await person.open('/');
  await person.click('#views > summary');
  await person.led(async () => (await person.named('#views a', 'Odd ones')).click());
  assert.deepEqual([person.at('q'), person.at('sort'), person.at('columns'), await person.total()], ['tag: odd', 'indicator:asc', 'indicator,tags', HOSTS / 2]);
  await person.follow('nav a[href="/views"]');
  assert.deepEqual([await person.texts('.saved h2'), await person.text('.saved p code')], [['Odd ones'], 'tag: odd']);
}));

test('a view is renamed and deleted', on('plain', async (person) => {
  await save(person, 'First name');
  await person.open('/views');
  await person.click('.rename > summary');
  await person.write('input[name=new]', 'Second name');
  await person.follow('.rename button');
  assert.deepEqual(await person.texts('.saved h2'), ['Second name']);
  assert.match(await person.text('.outcome'), /“First name” is called “Second name” now/);
  // It was told once.
  assert.equal(person.address, '/views');
  await person.led(async () => (await person.named('.saved button', 'Delete')).click());
  assert.match(await person.text('.outcome'), /“Second name” was deleted/);
  assert.match(await person.text('main'), /No view is saved yet/);
}));

test('a list is fetched with its key, and once more only if it is another', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered');
  await save(person, 'Numbered & all');
  const address = await listed(person);
  const answer = await fetch(address);
  const values = (await answer.text()).trim().split('\n');
  assert.deepEqual([answer.status, values.length, values[0]], [200, HOSTS, 'host-00.example.net']);
  const again = await fetch(address, { headers: { 'if-none-match': answer.headers.get('etag') } });
  assert.deepEqual([again.status, await again.text()], [304, '']);
  const { origin, pathname, searchParams } = new URL(address);
  const bearer = await fetch(origin + pathname, { headers: { authorization: `Bearer ${searchParams.get('key')}` } });
  assert.equal(bearer.status, 200);
  assert.equal((await fetch(origin + pathname)).status, 403);
}));

test('a key is shown once, and opens nothing when it is revoked', on('plain', async (person) => {
  await save(person, 'Everything');
  const address = await listed(person);
  assert.equal((await fetch(address)).status, 200);
  await person.open('/views');
  assert.doesNotMatch(await person.page.content(), new RegExp(new URL(address).searchParams.get('key')));
  assert.match(await person.text('.keys'), /Made Last used .*Key 1 \d{4}-.* \d{4}-/i);
  await person.led(async () => (await person.named('.keys button', 'Revoke')).click());
  assert.equal(await person.count('.keys'), 0);
  assert.match(await person.text('.outcome'), /Key 1 of the list of “Everything” was revoked/);
  const refused = await fetch(address);
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /no list with this name and key/);
}));

test('a list’s address is copied', on('plain', async (person) => {
  await save(person, 'Everything');
  const address = await listed(person);
  assert.match(await person.text('.notice strong'), /list of “Everything”/);
  await person.click('.notice button[data-copy]');
  await person.untilText('.told', 'Address copied');
  assert.equal(await person.copied(), address);
}));

test('a name must be one', on('plain', async (person) => {
  person.guard.allow(400);
  await person.click('#views > summary');
  await person.write('#name', '   ');
  assert.equal(await person.follow('#views button[type=submit]'), 400);
  assert.match(await person.text('main'), /Nothing was changed/);
}));

test('where nothing may be changed, nothing is offered to be', on('plain', { args: ['--read-only'] }, async (person) => {
  await person.click('#views > summary');
  assert.equal(await person.count('form[action="/views/save"]'), 0);
  await person.open('/views');
  // But for the way out.
  assert.equal(await person.count('form:not([action="/end"])'), 0);
}));
