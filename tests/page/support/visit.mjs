// A test of the page: the program serves a copy of a store, Chromium opens its link, and what must never happen is watched for.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import puppeteer from 'puppeteer-core';

import { Guard } from './guard.mjs';
import { Person } from './person.mjs';
import { Folder, LINK, serve } from './program.mjs';
import { store } from './stores.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--lang=en-US',
  // A window's own buttons are pages, which take longer than ours.
  '--disable-features=InitialWebUI,WebUIReloadButton,WebUIToolbar,WebUIHomeButton,WebUISplitTabsButton,WebUILocationBar,WebUIOmniboxPopup',
];

/** @type {Promise<import('puppeteer-core').Browser> | undefined} */
let browser;

/** The browser of this file of tests. Its user data folder is new and goes with it. */
async function chromium() {
  browser ??= puppeteer.launch({ executablePath: process.env.CHROMIUM ?? 'chromium', headless: true, args: FLAGS });
  return browser;
}

/** Ends the browser, where there is one. */
export async function endBrowser() {
  await (await browser)?.close();
  browser = undefined;
}
if (process.env.NODE_TEST_CONTEXT) after(endBrowser);

/** What is downloaded in a context, one after the other. */
class Downloads {
  #session;
  constructor(session, folder) {
    this.#session = session;
    this.folder = folder;
  }

  static async into(browser, context, folder) {
    mkdirSync(folder, { recursive: true });
    const session = await browser.target().createCDPSession();
    await session.send('Browser.setDownloadBehavior', { behavior: 'allowAndName', browserContextId: context.id, downloadPath: folder, eventsEnabled: true });
    return new Downloads(session, folder);
  }

  /** The next one, when it is complete. */
  next(patience) {
    return new Promise((resolve, reject) => {
      const names = new Map();
      const late = setTimeout(() => reject(new Error('Nothing was downloaded')), patience);
      this.#session.on('Browser.downloadWillBegin', ({ guid, suggestedFilename }) => names.set(guid, suggestedFilename));
      this.#session.on('Browser.downloadProgress', ({ guid, state }) => {
        if (state === 'inProgress' || !names.has(guid)) return;
        clearTimeout(late);
        this.#session.removeAllListeners();
        if (state === 'completed') resolve({ guid, name: names.get(guid) });
        else reject(new Error(`The download of ${names.get(guid)} was ${state}`));
      });
    });
  }
}

/**
 * The page of a running program, opened by its link, in a tab of its own; a window would take longer. Who is `apart` from
 * others of the same test has one, with cookies of his own. `leave` closes it, with all that the browser has kept of it.
 */
export async function enter(link, folder, { width = 1280, height = 900, javascript = true, theme = 'light', apart = false } = {}) {
  const origin = new URL(link).origin;
  const browser = await chromium();
  const context = apart ? await browser.createBrowserContext() : browser.defaultBrowserContext();
  const page = await context.newPage();
  const session = await page.createCDPSession();
  await page.setViewport({ width, height });
  await page.setJavaScriptEnabled(javascript);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
  await context.overridePermissions(origin, ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write']);
  const guard = new Guard(origin);
  await guard.watch(page);
  const downloads = await Downloads.into(browser, context, join(folder, 'downloads'));
  await page.goto(link, { waitUntil: 'load' });
  const leave = async () => {
    if (apart) return context.close();
    await session.send('Network.clearBrowserCookies');
    await session.send('Storage.clearDataForOrigin', { origin, storageTypes: 'all' });
    await page.close();
  };
  return { person: new Person({ page, origin, guard, downloads }), leave };
}

/**
 * A test on a store of this name. The last argument is the test itself, given who is at the page; `options` may have
 * `width`, `height`, `javascript`, `theme` and `args` for the program.
 */
export function on(name, options, test) {
  if (test === undefined) return on(name, {}, options);
  return async (t) => {
    const folder = Folder.of(store(name));
    const program = serve(folder.path, ...(options.args ?? []));
    let leave;
    try {
      const entered = await enter(await program.said(LINK), folder.path, options);
      ({ leave } = entered);
      const { person } = entered;
      person.folder = folder.path;
      await test(person, t);
      person.guard.check();
    } finally {
      await leave?.();
      await program.end();
      folder.remove();
    }
  };
}
