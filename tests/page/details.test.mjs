// Details: beside the table and alone, three tabs, what leads on from there.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { on } from './support/visit.mjs';

const SHARED = '/?q=value:+shared.example.net';

/** Opens a tab by its name. */
const tab = (person, name) => person.led(async () => (await person.named('.tabs a', name)).click());

test('a row’s details open beside the table, and close', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  assert.equal(await person.text('.side h1'), 'shared[.]example[.]net');
  assert.equal(await person.count('tr[aria-selected=true]'), 1);
  assert.equal(await person.total(), 1);
  await person.follow('#close');
  assert.deepEqual([person.at('id'), await person.count('.side')], [null, 0]);
}));

test('the overview tells what it is, who says so, and how long it lives', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  const facts = await person.page.$$eval('.details > .facts > div', (facts) => Object.fromEntries(facts.map((fact) => [fact.querySelector('dt').innerText, fact.querySelector('dd').innerText.trim()])));
  // What its feed does not give is said not to be given.
  assert.deepEqual(facts, { Confidence: 'Low', TLP: 'not provided', Provider: 'Alpha reports', Feed: 'SOC Defenders' });
  assert.equal(await person.text('.description'), 'Seen in a test of Alpha reports');
  assert.match(await person.text('.life'), /lives 90 ?d.* after it was last seen/);
  assert.deepEqual((await person.texts('.claims tbody th')).sort(), ['Alpha reports', 'Beta list']);
}));

test('the overview says each thing once', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  const values = await person.texts('.details .fields td');
  assert.ok(values.length > 0 && !values.includes('shared[.]example[.]net'), values.join());
}));

test('columns make room for details, unless they were chosen', on('plain', async (person) => {
  const shown = () => person.page.$$eval('.found thead th[class^=c-]', (heads) => heads.filter((head) => head.offsetWidth > 0).map((head) => head.className));
  const fits = () => person.page.$eval('.found', (table) => table.offsetWidth <= table.parentElement.clientWidth);
  await person.open(`${SHARED}&id=none`);
  assert.deepEqual([await shown(), await fits()], [['c-indicator', 'c-type', 'c-confidence', 'c-ends'], true]);
  await person.open(`${SHARED}&id=none&columns=indicator,tags,provider`);
  assert.deepEqual(await shown(), ['c-indicator', 'c-tags', 'c-provider']);
}));

test('all fields and JSON are tabs of their own', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  await tab(person, 'Table');
  assert.equal(person.at('tab'), 'table');
  const fields = await person.texts('table.fields.all tbody th');
  assert.ok(fields.includes('threat.indicator.name') && fields.includes('tipline.expires_at'), fields.join());
  await tab(person, 'JSON');
  const document = JSON.parse(await person.page.$eval('pre.json', (json) => json.textContent));
  assert.equal(document.threat.indicator.name, 'shared.example.net');
  await tab(person, 'Overview');
  assert.equal(person.at('tab'), null);
}));

test('fields filter from the table of all', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  await tab(person, 'Table');
  await person.follow('a[aria-label="Only what has this threat.indicator.provider"]');
  assert.equal(person.at('q'), 'value: shared.example.net and threat.indicator.provider: "Alpha reports"');
  assert.equal(await person.total(), 1);
}));

test('they have a link of their own, with tabs', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  const id = person.at('id');
  await person.follow('a[aria-label="This alone"]');
  assert.equal(person.address, `/indicators/${id}`);
  assert.deepEqual([await person.count('table.indicators'), await person.text('h1')], [0, 'shared[.]example[.]net']);
  for (const name of ['Table', 'JSON', 'Overview']) {
    await tab(person, name);
    assert.equal(await person.text('.tabs a[aria-current]'), name);
    assert.ok(person.address.startsWith(`/indicators/${id}`));
  }
}));

test('one claim leads to the other', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  const first = person.at('id');
  await person.led(async () => (await person.named('.claims a', 'Beta list')).click());
  assert.notEqual(person.at('id'), first);
  assert.equal(await person.text('.claims tr[aria-current] th'), 'Beta list');
  assert.equal(await person.text('.details .facts .sure'), 'High');
}));

test('what came from the same report is a link away', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  const [count] = (await person.text('.beside a')).match(/[\d,]+/);
  await person.follow('.beside a');
  await person.led(async () => (await person.named('.switch a', 'Claims')).click());
  assert.equal(await person.total(), Number(count));
}));

test('the value is copied from its head, as it is and defanged', on('plain', async (person) => {
  await person.open(SHARED);
  await person.follow('td.c-indicator a.name');
  await person.click('button[data-copies=value]');
  await person.until('it is copied', async () => await navigator.clipboard.readText() === 'shared.example.net');
  await person.click('button[data-copies=shown]');
  await person.until('it is copied', async () => await navigator.clipboard.readText() === 'shared[.]example[.]net');
}));

test('what is not stored is said to be so', on('plain', async (person) => {
  await person.open('/?id=nothing');
  assert.match(await person.text('.side'), /It is not stored/);
  await person.open('/indicators/nothing');
  assert.match(await person.text('main'), /It is not stored/);
}));

test('what has ended says so, and why', on('plain', async (person) => {
  await person.open('/?among=ended');
  await person.follow('td.c-indicator a.name');
  assert.equal(await person.text('.details .state'), 'retired');
  assert.match(await person.text('.life'), /Ended/);
}));
