// Who gets in: by a link, once.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Folder, LINK, Program, ran } from './support/program.mjs';
import { store } from './support/stores.mjs';
import { enter, on } from './support/visit.mjs';

test('the link of a demo leads to what it has found', async () => {
  const folder = new Folder();
  // It need not be compiled once more.
  cpSync(join(store('plain'), 'cache'), join(folder.path, '.tipline', 'cache'), { recursive: true });
  const demo = new Program(folder.path, ['demo']);
  let leave;
  try {
    const entered = await enter(await demo.said(LINK), folder.path);
    ({ leave } = entered);
    const { person } = entered;
    assert.equal(person.address, '/');
    assert.ok(await person.total() > 2_000);
    assert.equal((await person.rows()).length, 25);
    // The feed goes on, and so does the page.
    await demo.said(/\n\S+  read /);
    assert.equal(await person.open('/'), 200);
    assert.ok(await person.total() > 2_000);
    person.guard.check();
  } finally {
    await leave?.();
    await demo.end();
    folder.remove();
  }
});

test('a link lets one browser in', on('plain', async (person) => {
  const link = (await ran(person.folder, 'open', '-c', 'tipline.yml')).match(LINK)[1];
  const { person: second, leave } = await enter(link, person.folder, { apart: true });
  assert.equal(second.address, '/');
  assert.ok(await second.total() > 0);
  await leave();

  const { person: third, leave: leaveToo } = await enter(link, person.folder, { apart: true });
  third.guard.allow(403);
  assert.match(await third.text('h1'), /has been used/);
  assert.equal(await third.open('/'), 403);
  assert.match(await third.text('main'), /tipline open/);
  third.guard.check();
  await leaveToo();
}));

test('who is in already is let in by a link from his history', on('plain', async (person) => {
  const link = (await ran(person.folder, 'open', '-c', 'tipline.yml')).match(LINK)[1];
  const path = link.slice(person.origin.length);
  await person.open(path);
  await person.open(path);
  assert.equal(person.address, '/');
  assert.ok(await person.total() > 0);
}));

test('a run serves the page as well, if it is told to', async () => {
  const folder = Folder.of(store('plain'));
  const file = join(folder.path, 'tipline.yml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}http: {listen: "127.0.0.1:0", page: true}\n`);
  const run = new Program(folder.path, ['run', '-c', 'tipline.yml']);
  let leave;
  try {
    await run.said(/a link to the page at http/);
    const link = (await ran(folder.path, 'open', '-c', 'tipline.yml')).match(LINK)[1];
    const entered = await enter(link, folder.path);
    ({ leave } = entered);
    // It may say first that it is starting.
    entered.person.guard.allow(503);
    await entered.person.until('the page is open', () => document.querySelector('table.indicators') !== null);
    await entered.person.follow('nav a[href="/health"]');
    assert.doesNotMatch(await entered.person.text('main'), /No tipline run is at work/);
    entered.person.guard.check();
  } finally {
    await leave?.();
    await run.end();
    folder.remove();
  }
});
