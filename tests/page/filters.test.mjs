// Filters: from cells, from the counts on the left, from the legend.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOSTS } from './support/plain.mjs';
import { on } from './support/visit.mjs';

/** Points at a value, and presses one of the buttons that come up over it. */
async function over(person, selector, button) {
  await (await person.element(selector)).hover();
  await person.element('.acts-at');
  return person.led(async () => (await person.named('.acts-at button', button)).click());
}

const odd = '.value[data-field=tag][data-value=odd]';

/** The link of a count on the left. */
const counts = (facet, word) => `::-p-xpath(//section[h2[starts-with(., "${facet}")]]//a[contains(@class, "in") and span[normalize-space(.) = "${word}"]])`;

/** What a facet counts of a word. */
async function counted(person, facet, word) {
  return person.page.$$eval('.facet', (facets, facet, word) => {
    const section = facets.find((section) => section.querySelector('h2').textContent.startsWith(facet));
    const item = [...section.querySelectorAll('li')].find((item) => item.querySelector('.word').innerText.trim() === word);
    return Number(item.querySelector('.count').innerText.replaceAll(',', ''));
  }, facet, word);
}

test('only what has a value: from its cell', on('plain', async (person) => {
  await over(person, odd, 'Only');
  assert.equal(person.at('q'), 'tag: "odd"');
  assert.equal(await person.total(), HOSTS / 2);
}));

test('all but what has a value: from its cell', on('plain', async (person) => {
  const all = await person.total();
  await over(person, odd, 'Without');
  assert.equal(person.at('q'), 'not tag: "odd"');
  assert.equal(await person.total(), all - HOSTS / 2);
}));

test('a value that is missing is filtered as well', on('plain', async (person) => {
  const all = await person.total();
  await over(person, 'td.c-tlp .value', 'Only');
  assert.equal(person.at('q'), 'not tlp: *');
  assert.equal(await person.total(), all);
}));

test('one filter comes to the other, and holds for the whole query', on('plain', async (person) => {
  await person.search('tag: phishing or tag: odd');
  await over(person, '.value[data-field=confidence][data-value=High]', 'Only');
  assert.equal(person.at('q'), '(tag: phishing or tag: odd) and confidence: "High"');
  assert.ok((await person.texts('td.c-confidence')).every((cell) => cell === 'High'));
}));

test('what stands over a value copies it, and copies it defanged', on('plain', async (person) => {
  await person.search('value: shared.example.net');
  await (await person.element('td.c-indicator .value')).hover();
  await (await person.named('.acts-at button', 'Copy')).click();
  await person.untilText('.told', 'Value copied');
  assert.equal(await person.copied(), 'shared.example.net');
  await (await person.named('.acts-at button', 'Defanged')).click();
  await person.untilText('.told', 'Defanged value copied');
  assert.equal(await person.copied(), 'shared[.]example[.]net');
}));

test('the buttons go when the mouse does', on('plain', async (person) => {
  await (await person.element(odd)).hover();
  await person.element('.acts-at');
  await (await person.element('.brand')).hover();
  await person.untilGone('.acts-at');
}));

test('a count on the left filters in', on('plain', async (person) => {
  const count = await counted(person, 'Tag', 'phishing');
  await person.follow(counts('Tag', 'phishing'));
  assert.equal(person.at('q'), 'tag: "phishing"');
  assert.equal(await person.total(), count);
}));

test('a count on the left filters out', on('plain', async (person) => {
  const all = await person.total();
  const count = await counted(person, 'Tag', 'even');
  await (await person.element(counts('Tag', 'even'))).hover();
  await person.follow('.facet a.out[aria-label="Without even"]');
  assert.equal(person.at('q'), 'not tag: "even"');
  assert.equal(await person.total(), all - count);
}));

test('a filter is marked where it was made, and taken back there', on('plain', async (person) => {
  const all = await person.total();
  await person.follow(counts('Confidence', 'High'));
  assert.deepEqual(await person.texts('.facet .filtered'), ['filtered']);
  assert.match(await person.text('.facet .on'), /High/);
  await person.follow('.facet .on a');
  assert.deepEqual([person.at('q'), await person.total(), await person.count('.facet .filtered')], [null, all, 0]);
  // What is left out is not counted any more, and yet is there to be taken back; as it is typed, too.
  await person.open('/?q=not+tag:+even+and+confidence:+low');
  assert.match(await person.text('.facet .off'), /even/);
  assert.match(await person.text('.facet .on'), /Low/);
  await person.follow('.facet .off a');
  assert.equal(person.at('q'), 'confidence: low');
}));

test('counts of confidences stand in their own order', on('plain', async (person) => {
  const words = await person.page.$$eval('.facet', (facets) => [...facets.find((facet) => facet.querySelector('h2').textContent === 'Confidence').querySelectorAll('.word')].map((word) => word.innerText.trim()));
  assert.deepEqual(words, ['High', 'Medium', 'Low']);
}));

test('types that ECS has none for are to be found beside the others', on('plain', async (person) => {
  await (await person.element(counts('Type', 'vulnerability'))).click();
  await person.until('the vulnerability is shown', () => document.querySelectorAll('tbody .c-indicator .name').length === 1);
  assert.deepEqual(await person.rows(), ['CVE-2024-3094']);
  await person.open('/');
  await person.led(async () => (await person.element(counts('Type', 'technique'))).click());
  assert.deepEqual(await person.rows(), ['T1059.001']);
}));

test('the legend filters in and out', on('plain', async (person) => {
  await person.open('/?rows=claims');
  const all = await person.total();
  const [provider] = await person.texts('.legend li:first-child a:first-of-type');
  const [count] = (await person.texts('.legend li:first-child .count')).map(Number);
  await person.follow('.legend li:first-child a:first-of-type');
  assert.equal(person.at('q'), `provider: "${provider}"`);
  assert.equal(await person.total(), count);
  await person.open('/?rows=claims');
  await (await person.element('.legend li:first-child')).hover();
  await person.follow('.legend li:first-child a.out');
  assert.equal(person.at('q'), `not provider: "${provider}"`);
  assert.equal(await person.total(), all - count);
}));
