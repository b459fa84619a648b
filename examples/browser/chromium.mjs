// Starts the browser that is installed, with a profile of its own. CHROMIUM names it where it is not found.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import puppeteer from 'puppeteer-core';

export const PAGE = new URL('tipline-map.html', import.meta.url);

/** Milliseconds for anything that is waited for: a hundred times what it takes on a busy machine. */
export const PATIENCE = 60_000;

const KNOWN = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

export function launch(folder) {
  if (!existsSync(PAGE)) throw new Error('tipline-map.html is missing. This makes it: npm run build');
  const executablePath = process.env.CHROMIUM ?? KNOWN.find(existsSync);
  if (executablePath === undefined) {
    throw new Error('No browser was found. Install one (apt-get install chromium), or name it: CHROMIUM=/path/to/chromium npm test');
  }
  return puppeteer.launch({
    executablePath,
    userDataDir: join(folder, 'profile'),
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    timeout: PATIENCE,
    protocolTimeout: PATIENCE,
  });
}
