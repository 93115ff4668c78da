/**
 * What is known of each topic, as columns: one typed array for each fact, one index for each topic.
 *
 * Knows no topic names and no tree. A hundred thousand topics cost a few megabytes so, and a message changes some
 * numbers in place: nothing is left for the garbage collector.
 */

export const QOS = 0b0011;
export const RETAINED = 0b0100; // the broker keeps a message of this topic, as far as we know
export const HEARD = 0b1000; // it had a message; otherwise it is only the beginning of other topics

const FIRST_CAPACITY = 1024;

export class Columns {
  capacity = FIRST_CAPACITY;
  parent = new Int32Array(FIRST_CAPACITY);
  /** The only child, or the first of many; -1: there is none. */
  child = new Int32Array(FIRST_CAPACITY).fill(-1);
  depth = new Uint8Array(FIRST_CAPACITY);
  flags = new Uint8Array(FIRST_CAPACITY);
  /** Bytes of the last payload. */
  size = new Uint32Array(FIRST_CAPACITY);
  /** Milliseconds since 1970 of the last message. */
  at = new Float64Array(FIRST_CAPACITY);
  /** Messages of the topic itself. */
  count = new Float64Array(FIRST_CAPACITY);
  /** Messages of the topic and of all below it. */
  total = new Float64Array(FIRST_CAPACITY);
  /** Topics with messages, it and all below it. */
  topics = new Uint32Array(FIRST_CAPACITY);
  /** Messages a second, of it and all below it. */
  rate = new Float32Array(FIRST_CAPACITY);
  /** What `total` was when the rate was worked out last. */
  former = new Float64Array(FIRST_CAPACITY);
  /** Where its last payload lies, or -1. */
  slot = new Int32Array(FIRST_CAPACITY).fill(-1);
  /** Who published the last message, a number of `Publishers`. */
  publisher = new Int32Array(FIRST_CAPACITY);
  /** When, by the broker's clock; 0: it was not told. */
  published = new Float64Array(FIRST_CAPACITY);
  /** The ring with the topic's last numbers, or -1. */
  ring = new Int32Array(FIRST_CAPACITY).fill(-1);

  /** Make room for `count` topics. */
  reserve(count: number): void {
    if (count <= this.capacity) return;
    let capacity = this.capacity;
    while (capacity < count) capacity *= 2;
    this.parent = grown(this.parent, new Int32Array(capacity));
    this.child = grown(this.child, new Int32Array(capacity).fill(-1));
    this.depth = grown(this.depth, new Uint8Array(capacity));
    this.flags = grown(this.flags, new Uint8Array(capacity));
    this.size = grown(this.size, new Uint32Array(capacity));
    this.at = grown(this.at, new Float64Array(capacity));
    this.count = grown(this.count, new Float64Array(capacity));
    this.total = grown(this.total, new Float64Array(capacity));
    this.topics = grown(this.topics, new Uint32Array(capacity));
    this.rate = grown(this.rate, new Float32Array(capacity));
    this.former = grown(this.former, new Float64Array(capacity));
    this.slot = grown(this.slot, new Int32Array(capacity).fill(-1));
    this.publisher = grown(this.publisher, new Int32Array(capacity));
    this.published = grown(this.published, new Float64Array(capacity));
    this.ring = grown(this.ring, new Int32Array(capacity).fill(-1));
    this.capacity = capacity;
  }

  /** All that the columns take, in bytes. */
  get bytes(): number {
    return this.capacity * (4 + 4 + 1 + 1 + 4 + 8 + 8 + 8 + 4 + 4 + 8 + 4 + 4 + 8 + 4);
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
