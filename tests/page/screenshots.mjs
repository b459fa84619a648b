// A picture of each view: at the widths of a telephone, a laptop and a large screen, light and dark.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { Folder, LINK, Program, ran } from './support/program.mjs';
import { STATUSES, VIEWS } from './support/views.mjs';
import { endBrowser, enter } from './support/visit.mjs';

const WIDTHS = { 360: 740, 1280: 900, 2560: 1440 };

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

/** Takes those of one width and theme. */
async function taken(width, theme) {
  const own = new Folder();
  await ran(own.path, 'demo', '--once');
  const program = new Program(own.path, ['serve', '-c', '.tipline/demo.yml', '--listen', '127.0.0.1:0']);
  try {
    const { person, leave } = await enter(await program.said(LINK), own.path, { width: Number(width), height: WIDTHS[width], theme });
    person.guard.allow(...STATUSES);
    for (const [name, go] of Object.entries(VIEWS)) {
      await go(person);
      await person.page.screenshot({ path: join(folder, `${name}-${width}-${theme}.png`), fullPage: true });
    }
    await leave();
  } finally {
    await program.end();
    own.remove();
  }
}

try {
  for (const width of Object.keys(WIDTHS)) for (const theme of ['light', 'dark']) await taken(width, theme);
} finally {
  await endBrowser();
}
