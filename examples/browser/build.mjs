// Makes `tipline-map.html`, one file that opens from a disk: page, script, worker and the guest. The content security policy
// names each script by its hash and no address at all, so the page can neither load nor send anything.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

import { build } from 'esbuild';

const here = new URL('.', import.meta.url);
const made = (name) => readFile(new URL(`../node/socdefenders/${name}`, here));
const core = await made('socdefenders.core.wasm').catch((error) => {
  if (error.code !== 'ENOENT') throw error;
  console.error('The transpiled guest is missing. This makes it, after the export: cd examples/node && npm ci && npm run build');
  process.exit(1);
});
const text = (path) => readFile(new URL(path, here), 'utf8');

/** A script with all it imports, as one text that may stand in a page. */
async function bundle(path, define) {
  const { outputFiles } = await build({
    absWorkingDir: new URL('src/', here).pathname,
    entryPoints: [path],
    bundle: true,
    write: false,
    minify: true,
    format: 'iife',
    target: 'es2022',
    charset: 'utf8',
    // What jco's output would load in Node, where nobody hands it the module.
    external: ['node:*'],
    logOverride: { 'empty-import-meta': 'silent' },
    loader: { '.json': 'text' },
    define,
  });
  const [{ text: script }] = outputFiles;
  if (/<\/script|<!--/i.test(script)) throw new Error(`${path} holds what would end its script element.`);
  return script;
}

const { component } = JSON.parse(await made('package.json'));
const worker = await bundle('./worker.js');
const page = await bundle('./page.js', { WORKER: JSON.stringify(worker), COMPONENT: JSON.stringify(component.sha256) });
const style = await text('src/page.css');

const hash = (content) => `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
const policy = [
  "default-src 'none'",
  `script-src ${hash(page)} 'wasm-unsafe-eval'`,
  `style-src ${hash(style)}`,
  'worker-src blob:',
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const parts = { policy, style, script: page, core: core.toString('base64') };
const html = (await text('src/page.html')).replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]);
await writeFile(new URL('tipline-map.html', here), html);
