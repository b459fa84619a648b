/** Loads the built package in Node. */

import { readFile } from 'node:fs/promises';

import { Guest } from './guest.mjs';

export async function load() {
  try {
    const { instantiate } = await import('./socdefenders/socdefenders.js');
    const core = await readFile(new URL('./socdefenders/socdefenders.core.wasm', import.meta.url));
    return new Guest(instantiate, await WebAssembly.compile(core));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'ENOENT') throw error;
    throw new Error(
      'The package socdefenders/ is missing. This makes it: `cargo run --release -- guest export examples/export` in the ' +
        "repository's root, then `npm ci && npm run build` in examples/node.",
    );
  }
}
