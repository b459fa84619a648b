// axe-core on every view, light and dark: nothing serious.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { violations } from './support/axe.mjs';
import { STATUSES, VIEWS } from './support/views.mjs';
import { enter, on } from './support/visit.mjs';

/** Fails where something is serious, and then tells all that is amiss. */
async function accessible(person) {
  const found = await violations(person);
  assert.ok(!found.some(({ isSerious }) => isSerious), found.map(({ text }) => text).join('\n'));
}

for (const theme of ['light', 'dark']) {
  for (const [store, only] of [['demo', null], ['plain', ['details-overview', 'claims', 'check-answer']], ['hostile', ['board', 'details-overview', 'details-table']], ['empty', ['board', 'health', 'rejects']]]) {
    test(`${theme}, of the store “${store}”`, on(store, { theme }, async (person, t) => {
      person.guard.allow(...STATUSES);
      for (const [name, go] of Object.entries(VIEWS)) {
        if (only && !only.includes(name)) continue;
        await t.test(name, async () => {
          await go(person);
          await accessible(person);
        });
      }
    }));
  }
}

test('what is said to who is not let in', on('plain', async (person) => {
  const { person: stranger, leave } = await enter(`${person.origin}/`, person.folder, { apart: true });
  assert.match(await stranger.text('h1'), /opens with a link/);
  await accessible(stranger);
  await leave();
}));
