// Where there is nothing to be shown, and why.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Folder, LINK, serve } from './support/program.mjs';
import { enter, on } from './support/visit.mjs';

test('an empty store shows what to add, and looks again', on('empty', async (person) => {
  assert.equal(await person.total(), 0);
  assert.match(await person.text('main'), /Nothing has come in yet/);
  const lines = await person.text('.notice pre');
  for (const part of ['inputs:', 'id: socdefenders', 'api_key_file:', 'transport: taxii', 'collections:']) assert.ok(lines.includes(part), part);
  await person.led(async () => (await person.named('a.button', 'Look again')).click());
  assert.equal(person.address, '/');
  await person.led(async () => (await person.named('.note a', 'How the inputs are doing')).click());
  assert.match(await person.text('.input'), /rest/);
}));

test('where nothing is found, each of the ways on finds something', on('plain', async (person) => {
  await person.open('/?q=tag:+over&from=now-1h&time=last_seen');
  assert.match(await person.text('.notice'), /Nothing is found/);
  assert.deepEqual(await person.texts('.notice li'), ['Search what has ended, too', 'Search all of the time', 'Search without the query']);
  await person.follow('.notice li:nth-child(3) a');
  assert.ok(await person.total() > 0);
  await person.open('/?q=tag:+over&from=now-1h&time=last_seen');
  await person.follow('.notice li:nth-child(1) a');
  await person.follow('.notice li:nth-child(1) a');
  assert.deepEqual(await person.rows(), ['over[.]example[.]net']);
}));

test('a page behind the last one leads to the first', on('plain', async (person) => {
  await person.open('/?page=99');
  assert.match(await person.text('.notice'), /There is no such page/);
  await person.follow('.notice a');
  assert.equal((await person.rows()).length, 25);
}));

test('an address that there is not leads back', on('plain', async (person) => {
  person.guard.allow(404);
  assert.equal(await person.open('/nowhere'), 404);
  assert.match(await person.text('main'), /There is no such page/);
  await person.follow('nav a[href="/"]');
  assert.ok(await person.total() > 0);
}));

test('a store that gives no answer is said to give none', async () => {
  const folder = new Folder();
  // Nothing listens there.
  writeFileSync(join(folder.path, 'tipline.yml'), 'inputs: []\noutput:\n  elasticsearch: {hosts: "http://127.0.0.1:9", retry: {give_up_after: 0ms}}\n');
  const program = serve(folder.path);
  let leave;
  try {
    const entered = await enter(await program.said(LINK), folder.path);
    ({ leave } = entered);
    const { person } = entered;
    assert.match(await person.text('.notice[role=alert]'), /The store gave no answer.*127\.0\.0\.1:9/);
    await person.open('/indicators/x');
    assert.match(await person.text('.notice[role=alert]'), /The store gave no answer/);
    person.guard.check();
  } finally {
    await leave?.();
    await program.end();
    folder.remove();
  }
});

test('health tells how the inputs are doing, and leads to what was rejected', on('plain', async (person) => {
  await person.follow('nav a[href="/health"]');
  assert.match(await person.text('main'), /No tipline run is at work/);
  assert.match(await person.text('.input'), /rest .*Last success.*Indexed \d+.*Rejects 1/);
  await person.follow('.input a[href^="/rejects"]');
  assert.match(await person.text('.reject'), /203\.0\.113\.999/);
}));

test('fields tells what can be asked for, and examples that can be', on('plain', async (person) => {
  await person.follow('nav a[href="/fields"]');
  const names = await person.texts('table.fields tbody th');
  for (const name of ['confidence', 'threat.indicator.name', 'tipline.expires_at']) assert.ok(names.includes(name), name);
  for (const example of await person.values('th a', 'href')) assert.equal(await person.open(example), 200, example);
}));
