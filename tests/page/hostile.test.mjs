// What a feed says to do harm is text, wherever it stands.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { TEXTS } from './support/hostile.mjs';
import { on } from './support/visit.mjs';

/** What of a stranger's has become part of the page: elements, attributes or links that the page itself never has. */
const strange = (person) => person.page.evaluate(() => {
  const found = [];
  const own = new Set(['script', 'style', 'link', 'meta']);
  for (const element of document.querySelectorAll('*')) {
    const name = element.localName;
    if (name === 'script' && (!element.src || element.textContent)) found.push(`a script: ${element.outerHTML.slice(0, 80)}`);
    if (['img', 'iframe', 'object', 'embed', 'base', 'b', 'style'].includes(name)) found.push(`an element: ${element.outerHTML.slice(0, 80)}`);
    for (const { name: attribute, value } of element.attributes) {
      if (attribute.startsWith('on') || attribute === 'autofocus') found.push(`an attribute: ${attribute}=${value.slice(0, 80)}`);
      if (!['href', 'src', 'action', 'formaction', 'xlink:href'].includes(attribute)) continue;
      if (new URL(value, location.href).origin !== location.origin && !own.has(name)) found.push(`a link: ${value.slice(0, 80)}`);
    }
  }
  return found;
});

/** Characters that hide or turn text, as they would be seen: texts of the page have them spelled out. */
const hidden = (person) => person.page.evaluate(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    // eslint-disable-next-line no-control-regex
    const match = walker.currentNode.data.match(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF]/);
    if (match) found.push(`U+${match[0].codePointAt(0).toString(16)} in ${JSON.stringify(walker.currentNode.data.slice(0, 60))}`);
  }
  for (const element of document.querySelectorAll('[title], [aria-label]')) {
    const said = (element.title ?? '') + (element.getAttribute('aria-label') ?? '');
    if (/[\u202A-\u202E\u200B\u2060\uFEFF\u001B]/.test(said)) found.push(`in a title: ${JSON.stringify(said.slice(0, 60))}`);
  }
  return found;
});

async function harmless(person) {
  assert.deepEqual(await strange(person), []);
  assert.deepEqual(await hidden(person), []);
}

const BOARDS = ['/?size=250', '/?size=250&rows=claims', '/?size=250&columns=indicator,type,provider,feed,tags,software,actor,input,id', '/?stack=tag', '/?stack=actor', '/?stack=software', '/?stack=provider&time=last_seen'];

test('on the board, its filters and its legend', on('hostile', async (person) => {
  for (const address of BOARDS) {
    assert.equal(await person.open(address), 200);
    assert.ok(await person.total() >= Object.keys(TEXTS).length, address);
    await harmless(person);
  }
  // They are there, as text.
  await person.open('/?stack=tag&size=250');
  const page = await person.text('body');
  for (const part of ['<script>alert("carried out")</script>', 'invoice\\u{202e}fdp', 'zero\\u{200b}', '\\u{1b}[2J']) assert.ok(page.includes(part), part);
}));

test('in details, each tab, beside the table and alone', on('hostile', async (person) => {
  // All that is said of a value, and all that may be its name.
  await person.open(`/?${new URLSearchParams({ size: '250', rows: 'claims', among: 'all', q: '(tipline.input: rest and tag: hostile) or type: file' })}`);
  const ids = await person.values('.indicators tbody tr', 'data-id');
  assert.ok(ids.length >= 2 * Object.keys(TEXTS).length - 1, `${ids.length}`);
  for (const id of ids) {
    for (const tab of ['overview', 'table', 'json']) {
      assert.equal(await person.open(`/indicators/${id}?tab=${tab}`), 200);
      await harmless(person);
    }
  }
  for (const id of ids.slice(0, 10)) {
    await person.open(`/?rows=claims&id=${id}`);
    await harmless(person);
  }
}));

test('filters take it as it is, and find it again', on('hostile', async (person) => {
  for (const [name, text] of Object.entries(TEXTS)) {
    // Longer words can't be asked for.
    if (text.length > 1_000) continue;
    assert.equal(await person.open(`/filter?${new URLSearchParams({ field: 'tag', value: text, is: 'in' })}`), 200, name);
    assert.ok(await person.total() > 0, name);
    await harmless(person);
  }
}));

test('from a cell, as people filter', on('hostile', async (person) => {
  await person.open('/?q=value:+script.hostile.example.org');
  await (await person.named('td.c-tags .value', '<script>')).hover();
  await person.element('.acts-at');
  await person.led(async () => (await person.named('.acts-at button', 'Only')).click());
  assert.match(person.at('q'), /<script>/);
  assert.ok(await person.total() > 0);
  await harmless(person);
}));

test('in what is completed', on('hostile', async (person) => {
  for (const query of ['tag: ', 'actor: ', 'provider: ', 'software: ']) {
    await person.open('/');
    await person.write('#q', query);
    await person.element('#completions li');
    await harmless(person);
  }
}));

test('in a query with a mistake, and as the page’s title', on('hostile', async (person) => {
  person.guard.allow(400);
  for (const text of Object.values(TEXTS)) {
    const asked = text.slice(0, 500);
    await person.open(`/?${new URLSearchParams({ q: `nofield: "x" ${asked}` })}`);
    await harmless(person);
    await person.open(`/?${new URLSearchParams({ from: asked, to: asked, among: 'all' })}`);
    await harmless(person);
    await person.open(`/?${new URLSearchParams({ q: asked, id: asked, tab: asked, columns: asked, sort: asked })}`);
    await harmless(person);
  }
}));

test('in what is checked', on('hostile', async (person) => {
  await person.open('/check');
  const text = Object.entries(TEXTS).map(([name, text]) => `http://${name}.example.org/${text} ${name}.hostile.example.org ${text}`).join('\n');
  await person.page.$eval('#text', (field, text) => { field.value = text; }, text);
  await person.follow('form.check button.primary');
  assert.ok(await person.count('.verdict.known') > 10);
  await harmless(person);
}));

test('as names of saved views', on('hostile', async (person) => {
  // Some are refused, and what is said then is text, too.
  person.guard.allow(400);
  let kept = 0;
  for (const text of Object.values(TEXTS)) {
    await person.open('/?q=tag:+hostile');
    await person.click('#views > summary');
    await person.page.$eval('#name', (field, text) => { field.value = text; }, [...text].slice(0, 60).join(''));
    const status = await person.follow('#views button[type=submit]');
    kept += Number(status === 200);
    await harmless(person);
  }
  assert.ok(kept >= 10, `${kept}`);
  await person.open('/views');
  assert.equal(await person.count('.saved'), kept);
  await harmless(person);
  // The list of one with a name like that is fetched all the same.
  await person.led(async () => (await person.named('.saved:first-of-type button', 'New list address')).click());
  const answer = await fetch(await person.text('.notice pre code'));
  assert.equal(answer.status, 200);
  await harmless(person);
}));

test('among rejects, and where addresses are wrong', on('hostile', async (person) => {
  person.guard.allow(400, 404);
  await person.open('/rejects');
  await harmless(person);
  for (const text of Object.values(TEXTS)) {
    const part = text.slice(0, 200);
    for (const address of [`/rejects?${new URLSearchParams({ input: part })}`, `/indicators/${encodeURIComponent(part)}`, `/${encodeURIComponent(part)}`, `/export?${new URLSearchParams({ format: part })}`, `/check/${encodeURIComponent(part)}`]) {
      await person.open(address);
      await harmless(person);
    }
  }
}));

test('no cell of a CSV is a formula or hides anything', on('hostile', async (person) => {
  await person.click('details.menu:has(a[href^="/export"]) > summary');
  const { text } = await person.download(async () => (await person.named('a[href^="/export"]', 'CSV')).click());
  assert.ok(text.includes(`"'=HYPERLINK(""http://evil.example/"",""open"")`));
  assert.doesNotMatch(text, /"[=+@-]/);
  assert.doesNotMatch(text, /[\u202E\u200B\u001B]/);
}));

test('long values make no page that can’t be used', on('hostile', async (person) => {
  await person.open('/?size=250');
  const { bytes, wide } = await person.page.evaluate(() => ({ bytes: document.documentElement.outerHTML.length, wide: document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth }));
  assert.ok(bytes < 2_000_000, `${bytes}`);
  assert.equal(wide, false);
}));
