// The page in a real browser: it gives the guest's bytes, asks nobody for anything, and shows hostile values as text.
//
// SCREENSHOTS names a folder for pictures of the page.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { allCases, lines, reject } from '../node/cases.mjs';
import { launch, PAGE, PATIENCE } from './chromium.mjs';

const RECORD = '{"type":"ipv4","value":"198.51.100.1"}';

describe('the page', { timeout: 10 * PATIENCE }, () => {
  let browser, page, folder;
  const requests = [];
  const faults = [];
  const downloads = new Map();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tipline-page-'));
    browser = await launch(folder);
    const devtools = await browser.target().createCDPSession();
    await devtools.send('Browser.setDownloadBehavior', { behavior: 'allowAndName', downloadPath: folder, eventsEnabled: true });
    devtools.on('Browser.downloadProgress', ({ guid, state }) => state === 'completed' && downloads.get('waiting')?.(join(folder, guid)));
    page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    // Chromium drops some of many downloads that follow each other at once, so all but one are taken where they begin.
    await page.evaluateOnNewDocument(() => {
      const { createObjectURL } = URL;
      URL.createObjectURL = (blob) => createObjectURL.call(URL, (window.made = blob));
      const { click } = HTMLAnchorElement.prototype;
      HTMLAnchorElement.prototype.click = function () {
        if (!window.takes) click.call(this);
      };
    });
    page.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  });
  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    faults.length = 0;
    await page.goto(PAGE.href);
    await page.waitForFunction(() => document.getElementById('status').dataset.run === '1');
  });

  const status = () => page.$eval('#status', ({ dataset }) => ({ run: Number(dataset.run), state: dataset.state }));
  /** Does something and waits until the page shows what came of it. */
  async function shownAfter(act) {
    const { run } = await status();
    await act();
    await page.waitForFunction((run) => Number(document.getElementById('status').dataset.run) > run, {}, run);
    return (await status()).state;
  }
  const fill = (values) =>
    shownAfter(() =>
      page.evaluate((values) => {
        for (const [id, value] of Object.entries(values)) document.getElementById(id).value = value;
        document.getElementById('page').dispatchEvent(new Event('input'));
      }, values),
    );
  const open = async (path) => shownAfter(async () => (await page.$('#file')).uploadFile(path));
  /** What a person would get by a click; nothing where the button can't be clicked. */
  const saved = (button) =>
    page.$eval(button, async (button) => {
      if (button.disabled) return '';
      window.takes = true;
      button.click();
      window.takes = false;
      return window.made.text();
    });
  /** What is in the file after a click. */
  async function downloaded(button) {
    const path = new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new Error(`${button} saved nothing`)), PATIENCE);
      downloads.set('waiting', (file) => {
        clearTimeout(patience);
        resolve(file);
      });
    });
    await page.click(button);
    return readFile(await path, 'utf8');
  }
  async function outcome() {
    const counts = await page.$$eval('[data-count]', (all) => all.map((e) => `${e.dataset.count} ${e.querySelector('dd').textContent}\n`).join(''));
    const skips = await page.$$eval('[data-skip]', (all) => all.map((e) => `skipped for: ${e.dataset.skip}\n`).join(''));
    const notes = await page.$$eval('[data-note]', (all) => all.map((e) => `note: ${e.dataset.note}\n`).join(''));
    const rejects = lines(await saved('#save-rejects')).map(reject);
    return { documents: await saved('#save-documents'), rejects, counts: counts + skips + notes };
  }
  const text = (selector) => page.$$eval(selector, (all) => all.map((e) => e.textContent));

  test('every case gives the bytes written beside it, pasted and opened', async () => {
    let damaged = 0;
    for (const { name, config, observed, page: bytes, path, expected } of allCases()) {
      const pasted = bytes.toString();
      const isText = bytes.equals(Buffer.from(pasted));
      const did = await fill({ config, observed: new Date(observed).toISOString(), page: isText ? pasted : RECORD });
      assert.equal(did, 'done', name);
      // What is no text cannot be pasted.
      if (isText) assert.deepEqual(await outcome(), expected, `${name}, pasted`);
      else damaged += 1;
      assert.equal(await open(path), 'done', name);
      assert.deepEqual(await outcome(), expected, `${name}, opened`);
      // It is kept aside, as the field would give back something else.
      if (!isText) assert.equal(await shownAfter(() => page.click('#drop-held')), 'empty');
    }
    assert.ok(damaged > 0, 'some page has a damaged byte');
    assert.deepEqual(faults, []);
  });

  test('it opens no connection, and could not', async () => {
    for (const sample of ['#sample-rest', '#sample-stix']) assert.equal(await shownAfter(() => page.click(sample)), 'done');
    assert.ok(requests.includes(PAGE.href));
    assert.deepEqual(requests.filter((url) => url !== PAGE.href && !url.startsWith('blob:')), []);
    const tried = await page.evaluate(async () => {
      const image = new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve('loaded');
        image.onerror = () => resolve('refused');
        image.src = 'http://127.0.0.1:9/pixel';
      });
      return [await fetch('http://127.0.0.1:9/').catch(() => 'refused'), await image];
    });
    assert.deepEqual(tried, ['refused', 'refused']);
    assert.ok(faults.length >= 2 && faults.every((fault) => fault.includes('Content Security Policy')), faults.join('\n'));
  });

  test('hostile values are text, defanged, and hide nothing', async () => {
    const data = [
      { type: 'url', value: 'http://evil.example/"><img src=x onerror=alert(1)>', source: { feed_name: '<b>feed</b>\u202e' } },
      { type: 'email', value: 'bob@evil.example' },
      { type: '<script>', value: '<script>alert(1)</script>' },
    ];
    assert.equal(await fill({ page: JSON.stringify({ data }) }), 'done');
    // Not by the mouse: rows move while others open.
    await page.$$eval('details.row > summary', (all) => all.forEach((row) => row.click()));
    await page.waitForFunction(() => [...document.querySelectorAll('details.row')].every((row) => row.querySelector('pre')));
    assert.equal(await page.$$eval('#lists a, #lists img, #lists b, #lists script', (all) => all.length), 0);
    const values = await text('.document .value');
    assert.ok(values.some((value) => value.startsWith('hxxp://evil[.]example/')) && values.includes('bob[at]evil[.]example'), values.join('\n'));
    const all = (await text('#lists')).join('');
    assert.ok(all.includes('<b>feed</b>\\u{202e}') && all.includes('\\u202e') && !all.includes('\u202e'));
    assert.ok((await text('.reject pre')).join('').includes('<script>alert(1)</script>'));
    assert.deepEqual(faults, []);
  });

  test('what the guest refuses is shown with its kind', async () => {
    for (const { fields, kind, words } of [
      { fields: { page: '<html>' }, kind: 'protocol', words: 'Expected were records' },
      { fields: { page: RECORD, config: '{"surprise":1}' }, kind: 'config', words: 'surprise' },
      { fields: { page: RECORD, config: '', observed: 'tomorrow' }, kind: 'time', words: '2024-12-09T10:30:00Z' },
    ]) {
      assert.equal(await fill(fields), 'failed');
      const [failure] = await text('#failure');
      assert.ok(failure.startsWith(`${kind} `) && failure.includes(words), failure);
      assert.deepEqual(await outcome(), { documents: '', rejects: [], counts: '' });
    }
    assert.equal(await fill({ observed: '' }), 'done');
    assert.equal(await fill({ page: '' }), 'empty');
  });

  test('a guest that takes too long is stopped, and the next page has a new one', async () => {
    const long = join(folder, 'long.jsonl');
    await writeFile(long, `${RECORD}\n`.repeat(200_000));
    assert.equal(await fill({ page: RECORD, limit: '0.01' }).then(() => open(long)), 'failed');
    assert.match((await text('#failure'))[0], /^stopped .*0\.01 s/);
    assert.equal(await shownAfter(() => page.click('#drop-held')), 'empty');
    assert.equal(await fill({ page: RECORD, limit: '10' }), 'done');
  });

  test('a long text is kept aside, a long list is drawn in parts, and a file that is too long is refused', async () => {
    const many = join(folder, 'many.jsonl');
    await writeFile(many, Array.from({ length: 20_000 }, (_, i) => `{"type":"ipv4","value":"20.1.${i >> 8}.${i & 255}"}\n`).join(''));
    await fill({ limit: '60' });
    assert.equal(await open(many), 'done');
    assert.match((await text('#held'))[0], /many\.jsonl, 0\.7 MiB/);
    assert.equal((await text('.document')).length, 200);
    await page.click('.more');
    assert.equal((await text('.document')).length, 400);
    const documents = await downloaded('#save-documents');
    assert.equal(documents.split('\n').length, 20_001);
    assert.equal(documents, await saved('#save-documents'));

    const huge = join(folder, 'huge.json');
    await writeFile(huge, ' '.repeat(64 * 1024 * 1024 + 1));
    assert.equal(await open(huge), 'failed');
    assert.match((await text('#failure'))[0], /64 MiB/);
  });

  test('pictures', { skip: process.env.SCREENSHOTS === undefined }, async () => {
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    for (const [name, width, scheme, sample] of [
      ['light', 1360, 'light', '#sample-rest'],
      ['dark', 1360, 'dark', '#sample-stix'],
      ['narrow', 420, 'light', '#sample-rest'],
    ]) {
      await page.setViewport({ width, height: 850 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      assert.equal(await shownAfter(() => page.click(sample)), 'done');
      await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
    }
  });
});
