// axe-core on every view, light and dark: nothing serious.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { STATUSES, VIEWS } from './support/views.mjs';
import { enter, on } from './support/visit.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SERIOUS = ['serious', 'critical'];

/** What axe finds amiss, with where and why. */
async function violations(person) {
  await person.page.evaluate(AXE);
  const found = await person.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'], preload: false }));
  return found.violations.map(({ id, impact, help, nodes }) => ({
    impact, text: `${impact}: ${id}: ${help}\n${nodes.map((node) => `    ${node.target.join(' ')}  ${node.html.slice(0, 160)}\n      ${(node.failureSummary ?? '').replace(/\s+/g, ' ')}`).join('\n')}`,
  }));
}

for (const theme of ['light', 'dark']) {
  for (const [store, only] of [['demo', null], ['plain', ['details-overview', 'claims', 'check-answer']], ['hostile', ['board', 'details-overview', 'details-table']], ['empty', ['board', 'health', 'rejects']]]) {
    test(`${theme}, of the store “${store}”`, on(store, { theme }, async (person, t) => {
      person.guard.allow(...STATUSES);
      for (const [name, go] of Object.entries(VIEWS)) {
        if (only && !only.includes(name)) continue;
        await t.test(name, async () => {
          await go(person);
          const found = await violations(person);
          assert.ok(!found.some(({ impact }) => SERIOUS.includes(impact)), found.map(({ text }) => text).join('\n'));
        });
      }
    }));
  }
}

test('what is said to who is not let in', on('plain', async (person) => {
  const { person: stranger, context } = await enter(`${person.origin}/`, person.folder);
  assert.match(await stranger.text('h1'), /opens with a link/);
  const found = await violations(stranger);
  assert.ok(!found.some(({ impact }) => SERIOUS.includes(impact)), found.map(({ text }) => text).join('\n'));
  await context.close();
}));
