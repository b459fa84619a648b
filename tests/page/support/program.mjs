// The program under test, as processes of its own.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const PROGRAM = process.env.TIPLINE ?? 'tipline';

/** What has not been said by then is never said. */
const PATIENCE = 60_000;

/** Runs a command to its end and gives what it printed. It fails where the command does. */
export async function ran(folder, ...args) {
  const { stdout } = await promisify(execFile)(PROGRAM, args, { cwd: folder, timeout: PATIENCE, maxBuffer: 64 << 20 });
  return stdout;
}

/** A program that goes on until it is ended. */
export class Program {
  #child;
  #said = '';

  constructor(folder, args) {
    this.folder = folder;
    this.#child = spawn(PROGRAM, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.#said += text; });
    }
  }

  /** The part of its output that fits, as soon as it is there. */
  async said(pattern) {
    const ended = once(this.#child, 'exit').then(() => 'ended');
    const late = AbortSignal.timeout(PATIENCE);
    for (;;) {
      const found = this.#said.match(pattern);
      if (found) return found[1] ?? found[0];
      const more = Promise.race([once(this.#child.stdout, 'data', { signal: late }), once(this.#child.stderr, 'data', { signal: late }), ended]);
      const last = await more.catch(() => 'late');
      if ((last === 'ended' || last === 'late') && !pattern.test(this.#said)) {
        throw new Error(`The program was to say ${pattern}; it is ${last} and said:\n${this.#said}`);
      }
    }
  }

  /** Ends it, as Ctrl-C does, and waits until it is gone. */
  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGINT');
    await gone;
  }
}

/** A folder of one's own. */
export class Folder {
  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'tipline-page-'));
  }

  /** With a store that is there already. */
  static of(store) {
    const folder = new Folder();
    cpSync(store, folder.path, { recursive: true });
    return folder;
  }

  remove() {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The link that a program prints. */
export const LINK = /(http:\/\/\S+\/open\?token=\S+)/;

/** Serves a store's page, at any free port. */
export const serve = (folder, ...args) => new Program(folder, ['serve', '-c', 'tipline.yml', '--listen', '127.0.0.1:0', ...args]);
