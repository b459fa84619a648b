// The trend: a time is dragged, what it is of is chosen, its numbers are those of what is found.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const SEEN = '/?time=last_seen&rows=claims';
const drawing = '.plot > svg';

const bars = (person) => person.page.$eval('.plot', ({ dataset }) => ({ from: Number(dataset.from), interval: Number(dataset.interval), count: Number(dataset.bars) }));

test('a time is chosen by dragging', on('plain', async (person) => {
  await person.open(SEEN);
  const all = await person.total();
  const { from, interval, count } = await bars(person);
  const [first, last] = [Math.floor(count * 0.4), Math.floor(count * 0.7)];
  const at = (bar) => person.place(drawing, (bar + 0.5) / count);
  await person.led(async () => person.drag(await at(first), await at(last)));
  assert.equal(person.at('from'), new Date(from + first * interval).toISOString());
  assert.equal(person.at('to'), new Date(from + (last + 1) * interval - 1).toISOString());
  const within = await person.total();
  assert.ok(within > 0 && within < all, `${within} of ${all}`);
  for (const seen of await person.values('td.c-last_seen time', 'datetime')) {
    assert.ok(Date.parse(seen) >= Date.parse(person.at('from')) && Date.parse(seen) <= Date.parse(person.at('to')), seen);
  }
}));

test('what is dragged is shaded, to the left as well', on('plain', async (person) => {
  await person.open(SEEN);
  const { from, interval, count } = await bars(person);
  const { mouse } = person.page;
  const [begin, end] = [await person.place(drawing, 0.9), await person.place(drawing, 0.6)];
  await mouse.move(begin.x, begin.y);
  await mouse.down();
  await mouse.move(end.x, end.y, { steps: 3 });
  const shade = await (await person.element('.plot .drag')).boundingBox();
  assert.ok(Math.abs(shade.x - end.x) < 20 && shade.width > 100, JSON.stringify(shade));
  await person.led(() => mouse.up());
  assert.equal(person.at('from'), new Date(from + Math.floor(count * 0.6) * interval).toISOString());
}));

test('the legend’s totals and the numbers below are of all that is found', on('plain', async (person) => {
  await person.open(`${SEEN}&q=not+provider:+Gamma`);
  const all = await person.total();
  const legend = (await person.texts('.legend .count')).map(Number);
  assert.equal(legend.reduce((sum, count) => sum + count, 0), all);
  await person.click('.numbers summary');
  const rows = await person.page.$$eval('.numbers tbody tr', (rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => Number(cell.innerText))));
  assert.equal(rows.flat().reduce((sum, count) => sum + count, 0), all);
}));

test('it is of the time they were seen at work, where all were observed at once', on('plain', async (person) => {
  assert.deepEqual([person.at('time'), await person.text('.trend .head .menu:nth-of-type(1) > summary')], [null, 'Last seen']);
  const { count } = await bars(person);
  // What is dragged is of that time.
  await person.led(async () => person.drag(await person.place(drawing, 0.2 / count), await person.place(drawing, 0.5)));
  assert.equal(person.at('time'), 'last_seen');
  assert.ok(await person.total() > 0);
}));

test('what it leaves out is counted, and a link away', on('plain', async (person) => {
  await person.open('/?time=ends');
  assert.match(await person.text('.trend .head'), /one bar is (an? |\d)/);
  const [, count] = (await person.text('.trend .beside')).match(/^Not drawn: (\d+) claims? without a time “Ends”$/);
  await person.follow('.trend .beside a');
  assert.deepEqual([await person.total(), new Set(await person.texts('td.c-ends'))], [Number(count), new Set(['never'])]);
}));

test('it says so where nothing has its time', on('plain', async (person) => {
  await person.open('/?q=not+ends:+*&time=ends');
  assert.match(await person.text('.trend'), /Nothing found has a time “Ends”/);
}));

test('it is of another time, by another field', on('plain', async (person) => {
  await person.choose('.trend .head > .menu:nth-of-type(1)', 'a[href*="time=first_seen"]');
  assert.equal(person.at('time'), 'first_seen');
  await person.choose('.trend .head > .menu:nth-of-type(2)', 'a[href*="stack=confidence"]');
  assert.equal(person.at('stack'), 'confidence');
  assert.deepEqual((await person.texts('.legend li a:first-of-type')).sort(), ['High', 'Low', 'Medium']);
}));
