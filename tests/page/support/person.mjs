// Somebody at the page: what he does there, and what he sees.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** What has not happened by then does not happen. */
const PATIENCE = 15_000;

/** Between two looks at what is waited for. */
const LOOK_AGAIN = 20;

export class Person {
  constructor({ page, origin, guard, downloads }) {
    Object.assign(this, { page, origin, guard });
    this.downloads = downloads;
    page.setDefaultTimeout(PATIENCE);
  }

  /** Goes to an address of the page. */
  async open(path) {
    const answer = await this.page.goto(this.origin + path, { waitUntil: 'load' });
    return answer?.status();
  }

  /** The address, without the host. */
  get address() {
    return this.page.url().slice(this.origin.length);
  }

  /** What the address says under a key. */
  at(key) {
    return new URL(this.page.url()).searchParams.get(key);
  }

  /** Does something that leads to another page, and waits until that is there. */
  async led(act) {
    const [answer] = await Promise.all([this.page.waitForNavigation({ waitUntil: 'load' }), act()]);
    return answer?.status();
  }

  /** The one element of a selector that is seen. */
  async element(selector) {
    const found = await this.page.waitForSelector(selector, { visible: true }).catch(() => null);
    assert.ok(found, `${selector} is not to be seen at ${this.address}`);
    return found;
  }

  /** The first element of a selector with this text. */
  async named(selector, text) {
    return this.element(`${selector}::-p-text(${text})`);
  }

  async click(selector, options) {
    await (await this.element(selector)).click(options);
  }

  async follow(selector, options) {
    return this.led(() => this.click(selector, options));
  }

  /** Opens a menu and follows what it has by this name. */
  async choose(menu, selector) {
    await this.click(`${menu} > summary`);
    return this.follow(`${menu} ${selector}`);
  }

  /** Writes a text into a field that is empty or not. */
  async write(selector, text) {
    const field = await this.element(selector);
    await field.evaluate((element) => { element.focus(); element.select(); });
    await this.page.keyboard.press('Backspace');
    await field.type(text);
  }

  /** Presses keys, one after the other; capital letters with shift. */
  async press(...keys) {
    const { keyboard } = this.page;
    for (const key of keys) {
      const isCapital = /^[A-Z]$/.test(key);
      if (isCapital) await keyboard.down('Shift');
      await keyboard.press(key);
      if (isCapital) await keyboard.up('Shift');
    }
  }

  /** Searches, as people do: in the search bar, with Enter. */
  async search(query) {
    await this.write('#q', query);
    return this.led(() => this.press('Enter'));
  }

  /** The text of what is there, as it is read. */
  async text(selector) {
    return this.page.$eval(selector, (element) => element.innerText.replace(/\s+/g, ' ').trim());
  }

  async texts(selector) {
    return this.page.$$eval(selector, (elements) => elements.map((element) => element.innerText.replace(/\s+/g, ' ').trim()));
  }

  async values(selector, name) {
    return this.page.$$eval(selector, (elements, name) => elements.map((element) => element.getAttribute(name)), name);
  }

  async count(selector) {
    return (await this.page.$$(selector)).length;
  }

  /** How many are found, as it stands above the table. */
  async total() {
    return Number((await this.text('.total strong')).replaceAll(',', ''));
  }

  /** The indicators of the table's rows. */
  async rows() {
    return this.texts('table.indicators tbody .c-indicator .name');
  }

  /** What a function of the page's document gives, as soon as that is something. */
  async until(what, look, ...args) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      // The page may be on its way to another.
      const found = await this.page.evaluate(look, ...args).catch((error) => {
        if (/context|detached|navigat/i.test(error.message)) return undefined;
        throw error;
      });
      if (found) return found;
      if (Date.now() > end) throw new Error(`${what}: it has not come about at ${this.address}`);
      await pause(LOOK_AGAIN);
    }
  }

  async untilText(selector, text) {
    await this.until(`${selector} says ${JSON.stringify(text)}`, (selector, text) => document.querySelector(selector)?.innerText.includes(text), selector, text);
  }

  async untilGone(selector) {
    await this.until(`${selector} is gone`, (selector) => document.querySelector(selector) === null, selector);
  }

  /** What is downloaded by this. */
  async download(act) {
    const [{ guid, name }] = await Promise.all([this.downloads.next(PATIENCE), act()]);
    return { name, text: readFileSync(join(this.downloads.folder, guid), 'utf8') };
  }

  async copied() {
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  /** Drags the mouse from one point to another. */
  async drag(from, to) {
    const { mouse } = this.page;
    await mouse.move(from.x, from.y);
    await mouse.down();
    await mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2, { steps: 4 });
    await mouse.move(to.x, to.y, { steps: 4 });
    await mouse.up();
  }

  /** Where an element is in the window: at its shares of width and height. */
  async place(selector, across = 0.5, down = 0.5) {
    const box = await (await this.element(selector)).boundingBox();
    return { x: box.x + box.width * across, y: box.y + box.height * down };
  }
}
