// Makes the package `socdefenders/` of the exported component: JavaScript, the core module, and types.
// `instantiation` leaves it to the caller to make instances, as one that trapped must be replaced.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { transpileBytes } from '@bytecodealliance/jco-transpile';

const here = dirname(fileURLToPath(import.meta.url));
const component = join(here, '../export/socdefenders.component.wasm');
const folder = join(here, 'socdefenders');

const bytes = await readFile(component).catch((error) => {
  if (error.code !== 'ENOENT') throw error;
  console.error(`${component} is missing. This makes it, in the repository's root: cargo run --release -- guest export examples/export`);
  process.exit(1);
});
const { files, imports } = await transpileBytes(bytes, {
  name: 'socdefenders',
  outDir: folder,
  instantiation: 'sync',
  noComponentErrorWrapping: false,
});
if (imports.length > 0) throw new Error(`The component imports ${imports.join(', ')}, and should import nothing.`);

const manifest = {
  name: 'socdefenders',
  private: true,
  type: 'module',
  // Which component this was made of, as in its SHA256SUMS.
  component: { sha256: createHash('sha256').update(bytes).digest('hex') },
  exports: { '.': { types: './socdefenders.d.ts', default: './socdefenders.js' }, './core.wasm': './socdefenders.core.wasm' },
};
await rm(folder, { recursive: true, force: true });
for (const [path, content] of [...Object.entries(files), [join(folder, 'package.json'), JSON.stringify(manifest, null, 2)]]) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
