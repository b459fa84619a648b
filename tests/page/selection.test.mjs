// Selected rows: one, a range, all of the page, all of the filter; copied and exported.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const box = (row) => `tbody tr:nth-child(${row}) input[name=id]`;
const said = (person) => person.text('#selection strong');
const lines = (text) => text.trim().split(/\r?\n/);

/** Follows a link of the bar of what is selected, and gives what it downloads. */
const exported = (person, name) => person.download(async () => (await person.named('#selection a', name)).click());

test('rows are selected one by one', on('plain', async (person) => {
  assert.equal(await person.page.$eval('#selection', (bar) => bar.hidden), true);
  await person.click(box(2));
  await person.click(box(4));
  assert.equal(await said(person), '2 selected');
  assert.equal(await person.page.$eval('#pick-all', (box) => box.indeterminate), true);
  await person.click('#selection button[aria-label="Select none"]');
  assert.equal(await person.page.$eval('#selection', (bar) => bar.hidden), true);
}));

test('a range is selected with shift, upwards as well', on('plain', async (person) => {
  await person.click(box(9));
  await person.page.keyboard.down('Shift');
  await person.click(box(3));
  await person.page.keyboard.up('Shift');
  assert.equal(await said(person), '7 selected');
  assert.deepEqual(await person.page.$$eval('tbody input[name=id]', (boxes) => boxes.map((box, at) => box.checked ? at + 1 : 0).filter(Boolean)), [3, 4, 5, 6, 7, 8, 9]);
}));

test('what is selected is exported, and nothing else', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered&sort=indicator:asc');
  await person.click(box(1));
  await person.click(box(3));
  const list = await exported(person, 'List');
  assert.deepEqual([list.name, lines(list.text)], ['indicators.txt', ['host-00.example.net', 'host-02.example.net']]);
  const csv = await exported(person, 'CSV');
  assert.deepEqual(lines(csv.text).length, 3);
  assert.match(csv.text, /^"type","value".*\r\n"domain-name","host-0/);
  const stix = JSON.parse((await exported(person, 'STIX')).text);
  assert.deepEqual(stix.objects.filter((object) => object.type === 'indicator').map((object) => object.pattern).sort(),
    ["[domain-name:value = 'host-00.example.net']", "[domain-name:value = 'host-02.example.net']"]);
}));

test('a value that is selected is exported with all of its claims, a claim alone', on('plain', async (person) => {
  await person.open('/?q=value:+shared.example.net');
  await person.click(box(1));
  assert.equal(lines((await exported(person, 'CSV')).text).length, 3);
  await person.open('/?q=value:+shared.example.net&rows=claims');
  await person.click(box(1));
  assert.equal(lines((await exported(person, 'CSV')).text).length, 2);
}));

test('all of the page is selected, and then all of the filter', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered');
  const all = await person.total();
  await person.click('#pick-all');
  assert.equal(await said(person), '25 selected');
  assert.equal(lines((await exported(person, 'List')).text).length, 25);
  await (await person.named('#selection button', `Select all ${all}`)).click();
  assert.equal(await said(person), `All ${all} selected`);
  const list = lines((await exported(person, 'List')).text);
  assert.deepEqual([list.length, list.every((line) => line.startsWith('host-'))], [all, true]);
  // One that is taken out makes it those of the page again.
  await person.click(box(1));
  assert.equal(await said(person), '24 selected');
}));

test('the bar of what is selected lies over nothing that leads on', on('plain', async (person) => {
  await person.press('j', 'x');
  await person.element('#selection button');
  const covered = await person.page.evaluate(() => {
    scrollTo(0, document.scrollingElement.scrollHeight);
    return [...document.querySelectorAll('.pages a')].filter((link) => {
      const { x, y, width, height } = link.getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, y + height / 2)?.closest('#selection');
    }).map((link) => link.textContent);
  });
  assert.deepEqual(covered, []);
}));

test('all of a long page is exported', on('demo', async (person) => {
  await person.open('/?size=250&among=all');
  await person.click('#pick-all');
  assert.equal(await said(person), '250 selected');
  assert.equal(lines((await exported(person, 'List')).text).length, 250);
}));

test('all of a long page is copied, whatever its columns', on('demo', async (person) => {
  await person.open('/?size=250&among=all&columns=indicator,type,confidence,provider,feed,tags,software,actor,input,id');
  await person.click('#pick-all');
  await person.click('#selection button:nth-of-type(2)');
  await person.element('.told');
  assert.equal(lines(await person.copied()).length, 250);
}));

test('all that is selected is copied, however long it is', on('hostile', async (person) => {
  await person.open('/?q=type:+url+and+long.example.org');
  await person.click(box(1));
  await person.click('#selection button:first-of-type');
  await person.element('.told');
  assert.match(await person.copied(), /^http:.*long-x+$/);
}));

test('what is selected is copied, defanged as well', on('plain', async (person) => {
  await person.open('/?q=tag:+numbered&sort=indicator:asc');
  await person.click(box(1));
  await person.click(box(2));
  await person.click('#selection button:first-of-type');
  await person.untilText('.told', '2 values copied');
  assert.equal(await person.copied(), 'host-00.example.net\nhost-01.example.net');
  await (await person.named('#selection button', 'Copy defanged')).click();
  await person.until('it is copied', async (text) => await navigator.clipboard.readText() === text, 'host-00[.]example[.]net\nhost-01[.]example[.]net');
}));
