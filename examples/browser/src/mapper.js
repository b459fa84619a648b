// One worker with the guest in it. A page that takes too long costs the worker; the next one gets a new worker.

/* global WORKER: the worker's script, put in by build.mjs */

const SCRIPT = URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' }));

export class Mapper {
  #module;
  #worker;
  #last = Promise.resolve();

  constructor(module) {
    this.#module = module;
  }

  /** What the guest says of itself. */
  async about() {
    const { about } = await this.#begin();
    return about;
  }

  /** `{batch, took}`, or `{failure: {kind, text}}`. One page after the other; `limit` is in milliseconds. */
  map(config, observed, page, limit) {
    const answer = this.#last.then(async () => {
      if (this.#worker === undefined) await this.#begin();
      return this.#ask({ config, observed, page }, limit);
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  #begin() {
    this.#worker = new Worker(SCRIPT);
    return this.#ask({ module: this.#module });
  }

  #ask(question, limit) {
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const timer =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              worker.terminate();
              this.#worker = undefined;
              resolve({ failure: { kind: 'stopped', text: `The guest had no answer after ${limit / 1000} s and was stopped.` } });
            }, limit);
      worker.onmessage = ({ data }) => {
        clearTimeout(timer);
        resolve(data);
      };
      worker.onerror = (event) => {
        clearTimeout(timer);
        worker.terminate();
        this.#worker = undefined;
        reject(new Error(`The worker failed: ${event.message ?? 'it could not be started'}.`));
      };
      worker.postMessage(question);
    });
  }
}
