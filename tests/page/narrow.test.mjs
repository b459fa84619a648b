// At 360 pixels, a telephone held upright, nothing scrolls sideways and everything can be reached.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { STATUSES, VIEWS } from './support/views.mjs';
import { on } from './support/visit.mjs';

const narrow = { width: 360, height: 740 };

/** What is wider than the window, or how far the page goes beyond it. */
const beyond = (person) => person.page.evaluate(() => {
  const page = document.scrollingElement;
  if (page.scrollWidth <= page.clientWidth) return null;
  const wide = [...document.body.querySelectorAll('*')].filter((element) => element.getBoundingClientRect().right > page.clientWidth + 1);
  const names = wide.slice(0, 8).map((element) => `${element.tagName.toLowerCase()}.${element.className.baseVal ?? element.className}`);
  return `${page.scrollWidth} of ${page.clientWidth} pixels: ${names.join(', ')}`;
});

for (const store of ['demo', 'hostile', 'empty']) {
  test(`nothing scrolls sideways, of the store “${store}”`, on(store, narrow, async (person, t) => {
    person.guard.allow(...STATUSES);
    for (const [name, go] of Object.entries(VIEWS)) {
      if (store === 'empty' && !['board', 'health', 'rejects'].includes(name)) continue;
      await t.test(name, async () => {
        await go(person);
        assert.equal(await beyond(person), null);
      });
    }
  }));
}

test('every place is to be seen in the bar, and none of its links is cut', on('plain', narrow, async (person) => {
  const places = await person.page.$$eval('.top nav a', (links) => links.map((link) => {
    const { left, right } = link.getBoundingClientRect();
    return { name: link.innerText, isWhole: left >= 0 && right <= innerWidth && link.scrollWidth <= link.clientWidth };
  }));
  assert.deepEqual(places, ['Indicators', 'Views', 'Check', 'Fields', 'Health'].map((name) => ({ name, isWhole: true })));
}));

const MENUS = {
  time: '.search .menu', columns: '#columns', views: '#views', sort: 'details.menu.narrow', export: 'details.menu:has(a[href^="/export"])',
  'trend of': '.trend .menu:nth-of-type(1)', 'trend by': '.trend .menu:nth-of-type(2)',
};
for (const [name, menu] of Object.entries(MENUS)) {
  test(`the menu “${name}” stands in the window`, on('plain', narrow, async (person) => {
    await person.click(`${menu} > summary`);
    const { left, right } = await person.page.$eval(`${menu} > .card`, (card) => card.getBoundingClientRect().toJSON());
    assert.ok(left >= 0 && right <= narrow.width, `from ${left} to ${right}`);
    // Nothing in it is wider than itself.
    assert.deepEqual(await person.page.$eval(`${menu} > .card`, (card) => [card.scrollWidth > card.clientWidth]), [false]);
    assert.equal(await beyond(person), null);
  }));
}

test('rows are sorted by a menu, where there are no heads', on('plain', narrow, async (person) => {
  await person.open('/?q=tag:+numbered');
  await person.choose('details.menu.narrow', 'a[href*="sort=indicator%3Aasc"]');
  assert.equal((await person.rows())[0], 'host-00[.]example[.]net');
}));

test('details cover the table, and are closed', on('plain', narrow, async (person) => {
  await person.open('/?q=value:+shared.example.net');
  await person.follow('td.c-indicator a.name');
  assert.equal(await person.text('.side h1'), 'shared[.]example[.]net');
  await person.follow('#close');
  assert.equal(await person.count('.side'), 0);
}));
