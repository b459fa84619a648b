// The table: its pages, orders and columns, what a row is, and which rows are searched.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const heads = async (person) => (await person.values('.indicators thead th[class^=c-]', 'class')).map((name) => name.match(/c-(\S+)/)[1]);

test('pages go to the end and back', on('plain', async (person) => {
  await person.open('/?among=all');
  const all = await person.total();
  const seen = [];
  for (;;) {
    seen.push(...await person.values('.indicators tbody tr', 'data-id'));
    if (await person.count('a[rel=next]') === 0) break;
    await person.follow('a[rel=next]');
  }
  assert.deepEqual([seen.length, new Set(seen).size], [all, all]);
  assert.match(await person.text('.pages .place'), new RegExp(`–${all.toLocaleString('en')} of ${all.toLocaleString('en')}$`));
  while (await person.count('a[rel=prev]') > 0) await person.follow('a[rel=prev]');
  assert.deepEqual([person.address, await person.values('.indicators tbody tr', 'data-id')], ['/?among=all', seen.slice(0, 25)]);
}));

test('a page is gone to by its number, the last one at once', on('demo', async (person) => {
  const last = Math.ceil(await person.total() / 25);
  await person.follow(`.steps a[href="/?page=${last}"]`);
  assert.equal(await person.count('a[rel=next]'), 0);
  assert.ok((await person.rows()).length > 0);
  await person.follow('.steps a[href="/"]');
  assert.equal(await person.count('a[rel=prev]'), 0);
}));

test('a page has as many rows as is chosen', on('plain', async (person) => {
  await person.follow('.sizes a[aria-label="50 rows a page"]');
  assert.equal((await person.rows()).length, 50);
  assert.match(await person.text('.pages .place'), /^1–50 of /);
}));

test('heads sort, and turn the order round', on('plain', async (person) => {
  const order = { High: 3, Medium: 2, Low: 1 };
  await person.open('/?q=tag:+numbered');
  await person.follow('th.c-confidence a');
  const down = (await person.texts('td.c-confidence')).map((word) => order[word] ?? 0);
  assert.deepEqual(down, down.toSorted((a, b) => b - a));
  assert.deepEqual(await person.values('th[aria-sort]', 'aria-sort'), ['descending']);
  await person.follow('th.c-confidence a');
  const up = (await person.texts('td.c-confidence')).map((word) => order[word] ?? 0);
  assert.deepEqual(up, up.toSorted((a, b) => a - b));
  assert.equal(person.at('sort'), 'confidence:asc');
}));

test('a value stands where what its cell shows belongs', on('plain', async (person) => {
  await person.open('/?q=tag:+shared+or+tag:+numbered&size=250&sort=confidence:asc');
  const words = await person.texts('td.c-confidence');
  assert.deepEqual(words, [...words.filter((word) => word === 'Low'), ...words.filter((word) => word === 'Medium'), ...words.filter((word) => word === 'High')]);
}));

test('the alphabet is begun at its beginning', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered');
  await person.follow('th.c-indicator a');
  const rows = await person.rows();
  assert.deepEqual([rows[0], rows], ['host-00[.]example[.]net', rows.toSorted()]);
}));

test('what has no value comes last, either way', on('plain', async (person) => {
  for (const direction of ['asc', 'desc']) {
    await person.open(`/?size=250&sort=tags:${direction}`);
    const empty = (await person.texts('td.c-tags')).map((cell) => cell === '–');
    assert.deepEqual(empty, empty.toSorted((a, b) => a - b), direction);
    assert.ok(empty.at(-1), direction);
  }
}));

test('a value is one row, or what each source says of it', on('plain', async (person) => {
  await person.search('value: shared.example.net');
  assert.deepEqual([await person.total(), await person.text('.total')], [1, '1 values']);
  // The surest of its claims.
  assert.deepEqual([await person.text('td.c-confidence'), await person.text('td.c-provider')], ['High', 'Alpha reports, Beta list']);
  await person.led(async () => (await person.named('.switch a', 'Claims')).click());
  assert.deepEqual([await person.total(), await person.texts('td.c-confidence')], [2, ['Low', 'High']]);
  await person.led(async () => (await person.named('.switch a', 'Values')).click());
  assert.equal(await person.total(), 1);
}));

test('columns are chosen from the menu', on('plain', async (person) => {
  await person.click('#columns > summary');
  await person.click('#columns input[value=type]');
  await person.click('#columns input[value=first_seen]');
  await person.follow('#columns button[type=submit]');
  const chosen = await heads(person);
  assert.deepEqual([chosen.includes('type'), chosen.includes('first_seen')], [false, true]);
  await person.click('#columns > summary');
  await person.led(async () => (await person.named('#columns a', 'As usual')).click());
  assert.deepEqual(await heads(person), ['indicator', 'type', 'confidence', 'tlp', 'provider', 'tags', 'last_seen', 'ends']);
}));

test('columns are put in order from the menu', on('plain', async (person) => {
  await person.choose('#columns', 'a[aria-label="Move Type to the left"]');
  assert.deepEqual((await heads(person)).slice(0, 2), ['type', 'indicator']);
  await person.choose('#columns', 'a[aria-label="Move Type to the right"]');
  assert.deepEqual((await heads(person)).slice(0, 2), ['indicator', 'type']);
}));

test('heads are dragged to where their columns are to be', on('plain', async (person) => {
  await person.led(async () => person.drag(await person.place('th.c-provider'), await person.place('th.c-type')));
  assert.deepEqual(await heads(person), ['indicator', 'provider', 'type', 'confidence', 'tlp', 'tags', 'last_seen', 'ends']);
}));

test('a column is made wider at its head’s edge, and is so the next time', on('plain', async (person) => {
  const width = (column) => person.page.$eval(`th.c-${column}`, (head) => head.offsetWidth);
  const before = await width('provider');
  const grip = await person.place('th.c-provider .grip');
  await person.drag(grip, { x: grip.x + 70, y: grip.y });
  const after = await width('provider');
  assert.ok(after >= before + 60, `${before}, then ${after}`);
  await person.open('/?q=tag:+numbered');
  assert.ok(Math.abs(await width('provider') - after) <= 2);
  // Its order is what it was: nothing was dragged elsewhere.
  assert.equal((await heads(person))[4], 'provider');
  await person.click('th.c-provider .grip', { count: 2 });
  assert.ok(await width('provider') < after);
}));

test('a column is made narrower by keys', on('plain', async (person) => {
  const grip = 'th.c-indicator .grip';
  const now = () => person.page.$eval(grip, (grip) => Number(grip.getAttribute('aria-valuenow')));
  const before = await now();
  await person.page.focus(grip);
  await person.press('ArrowLeft', 'ArrowLeft');
  assert.ok(await now() < before, `${await now()} of ${before}`);
}));

test('a search keeps order and columns', on('plain', async (person) => {
  await person.open('/?columns=indicator,claims&sort=claims:desc&size=50');
  await person.search('tag: numbered or tag: shared');
  assert.deepEqual([person.at('columns'), person.at('sort'), person.at('size')], ['indicator,claims', 'claims:desc', '50']);
  assert.equal((await person.rows())[0], 'shared[.]example[.]net');
}));

test('what has ended is hidden, shown with the rest, or shown alone', on('plain', async (person) => {
  const over = 'over[.]example[.]net';
  const found = async () => {
    await person.search('tag: over');
    return { rows: await person.count('.indicators') ? await person.rows() : [], marked: await person.count('tr.ended') };
  };
  assert.deepEqual(await found(), { rows: [], marked: 0 });
  await person.led(async () => (await person.named('.switch a', 'All')).click());
  assert.deepEqual(await found(), { rows: [over], marked: 1 });
  await person.open('/');
  await person.led(async () => (await person.named('.switch a', 'Ended')).click());
  assert.deepEqual([await person.rows(), await person.total()], [[over], 1]);
  assert.match(await person.text('td.c-ends'), /^ended \d{4}-\d\d-\d\d$/);
}));
