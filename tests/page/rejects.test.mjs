// What was rejected is tried again, and dropped, where the inputs run.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Folder, Program, ran } from './support/program.mjs';
import { store } from './support/stores.mjs';
import { enter, on } from './support/visit.mjs';

/** A run of the plain store's input, whose feed is gone, at its page. */
const atARun = (options, visit) => async () => {
  const folder = Folder.of(store('plain'));
  appendFileSync(join(folder.path, 'tipline.yml'), 'http: {page: true, listen: "127.0.0.1:0"}\n');
  const program = new Program(folder.path, ['run', '-c', 'tipline.yml']);
  let leave;
  try {
    await program.said(/prints a link to the page/);
    const link = (await ran(folder.path, 'open', '-c', 'tipline.yml')).trim();
    const entered = await enter(link, folder.path, options);
    ({ leave } = entered);
    const { person } = entered;
    // It may say first that it is starting.
    person.guard.allow(503);
    await person.open('/rejects?input=rest');
    // Until the run has opened its store, the page says that it starts.
    while ((await person.text('main')).includes('looks again by itself')) await person.open('/rejects?input=rest');
    await visit(person);
    person.guard.check();
  } finally {
    await leave?.();
    await program.end();
    folder.remove();
  }
};

for (const javascript of [true, false]) {
  test(`a run tries them again and drops them, with scripts: ${javascript}`, atARun({ javascript }, async (person) => {
    assert.match(await person.text('.lead'), /^1 kept/);
    // What was done stands in the address until a script has taken it from there.
    const isOfTheInput = () => assert.match(person.address, javascript ? /^\/rejects\?input=rest$/ : /^\/rejects\?input=rest&done=/);
    const retry = async (selector, which) => {
      await person.follow(`${selector} form[action="/rejects/retry"] button`);
      isOfTheInput();
      while ((await person.text('main')).includes('being tried again')) await person.follow('.notice a');
      assert.match(await person.text('.notice.warn'), new RegExp(`The last retry is over: ${which} of rest.*0 settled, 1 refused again`));
      assert.match(await person.text('.reject'), /203\.0\.113\.999/);
    };
    await retry('.page > .row', 'all rejects');
    await retry('.reject', 'reject \\d+');
    await person.choose('.reject .menu', 'form[action="/rejects/drop"] button');
    isOfTheInput();
    assert.match(await person.text('.outcome'), /Dropped for good: reject \d+ of rest/);
    assert.match(await person.text('main'), /There are none here/);
    assert.equal((await person.page.$$('form')).length, 0);
  }));
}

test('where the inputs do not run, the commands are named', on('plain', async (person) => {
  await person.open('/rejects');
  assert.match(await person.text('.lead'), /tipline rejects retry.*Both want tipline run stopped/);
  assert.equal((await person.page.$$('main form')).length, 0);
}));
