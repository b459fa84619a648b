/**
 * Tipline's guest in JavaScript, for Node, workers and browsers: maps records of SOC Defenders, or STIX, to ECS documents.
 *
 * The guest is pure. A failure is its answer and throws `Failure`; a trap is a fault and throws `Trap`. It costs the
 * instance: jco would answer every later call with the same trap, so the next call gets a new one. Nothing is lost, as
 * instances remember nothing. JavaScript can't stop a call: where a guest is not your own, put it into a worker, and end
 * that when it takes too long.
 *
 * @import { instantiate, Root } from './socdefenders/socdefenders.js'
 * @import { Batch, Failure as Answer, Reject } from './socdefenders/interfaces/tipline-input-mapper.js'
 * @import { Event, Step } from './socdefenders/interfaces/tipline-input-pager.js'
 */

/** Bytes. Memory never shrinks: an instance that grew beyond this for a long page is not kept. A thousand records need 4 MiB. */
export const KEPT_MEMORY = 32 * 1024 * 1024;

/** The guest cannot do what was asked. */
export class Failure extends Error {
  name = 'Failure';

  /** @param {Answer} answer */
  constructor(answer) {
    super(`${answer.tag}: ${answer.val}`);
    this.kind = answer.tag;
    this.text = answer.val;
  }
}

/** The guest was stopped in the middle of a call. */
export class Trap extends Error {
  name = 'Trap';
}

/**
 * A reject as a line of a file, in the words of `tipline map --rejects`: as text, or in base64 where it is none.
 *
 * @param {Reject} reject
 * @param {bigint} observed
 */
export function rejectLine({ code, detail, raw }, observed) {
  const rest = { observed: Number(observed) };
  try {
    return JSON.stringify({ code, detail, raw: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw), ...rest });
  } catch {
    const bytes = Array.from(raw, (byte) => String.fromCharCode(byte)).join('');
    return JSON.stringify({ code, detail, raw_base64: btoa(bytes), ...rest });
  }
}

export class Guest {
  #instantiate;
  #module;
  /** @type {{ root: Root, memory: WebAssembly.Memory } | undefined} */
  #instance;
  /** Instances made so far. */
  instances = 0;

  /**
   * @param {typeof instantiate} instantiateComponent what `socdefenders/socdefenders.js` exports
   * @param {WebAssembly.Module} module `socdefenders/socdefenders.core.wasm`, compiled
   */
  constructor(instantiateComponent, module) {
    this.#instantiate = instantiateComponent;
    this.#module = module;
  }

  /**
   * @param {string} config the settings as JSON, or the empty string
   * @param {number | bigint} observed when the feed showed the records, in milliseconds since 1970
   * @param {Uint8Array} records a page, STIX, an array, or one record a line, as its feed sent it: the guest knows what a damaged byte means
   * @returns {Batch}
   */
  mapRecords(config, observed, records) {
    const time = BigInt(observed);
    return this.#call(({ mapper }) => mapper.mapRecords(config, time, records));
  }

  /**
   * One step of a poll. `docs/core-abi.md` and `input.wit` say what a step is; `examples/python` has the loop, with its
   * requests; the test beside this file has one with the rows that the guest remembers.
   *
   * @param {string} config
   * @param {string} state
   * @param {number | bigint} now
   * @param {Event} event
   * @returns {Step}
   */
  advance(config, state, now, event) {
    const time = BigInt(now);
    return this.#call(({ pager }) => pager.advance(config, state, time, event));
  }

  /** What the guest says of itself: name, version, fields, the schema of its settings. */
  describe() {
    return JSON.parse(this.#call(({ mapper }) => mapper.describe()));
  }

  /**
   * @template T
   * @param {(root: Root) => T} ask
   * @returns {T}
   */
  #call(ask) {
    this.#instance ??= this.#make();
    const { root, memory } = this.#instance;
    try {
      const answer = ask(root);
      if (memory.buffer.byteLength > KEPT_MEMORY) this.#instance = undefined;
      return answer;
    } catch (error) {
      if (error instanceof Error && 'payload' in error) throw new Failure(/** @type {Answer} */ (error.payload));
      this.#instance = undefined;
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      throw new Trap(`The guest was stopped: ${error.message}.`, { cause: error });
    }
  }

  #make() {
    /** @type {WebAssembly.Memory | undefined} */
    let memory;
    const root = this.#instantiate(
      () => this.#module,
      {},
      (module, imports) => {
        const instance = new WebAssembly.Instance(module, imports);
        memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
        return instance;
      },
    );
    if (memory === undefined) throw new Error('The package was built without `instantiation: sync`; build it again.');
    this.instances += 1;
    return { root, memory };
  }
}
