/**
 * The last payload of each topic, within a number of bytes.
 *
 * The beginning of each lies in one array, in a slot that the topic has for good: most payloads are no longer than
 * that. Of larger ones there are copies, up to `LONGEST` bytes each; when all together are too many, those that have
 * been there longest go, and of these topics the beginning is left. `Kept.whole` says so.
 */

/** Bytes of every payload that are always kept. */
export const SLOT = 128;

/** Bytes of one payload that are kept. */
export const LONGEST = 65_536;

const MOST_BYTES = 32 * 1024 * 1024;

export interface Kept {
  readonly bytes: Uint8Array;
  /** What was sent, in bytes. */
  readonly size: number;
  readonly whole: boolean;
}

export class Payloads {
  private slots = new Uint8Array(SLOT * 1024);
  private count = 0;
  /** By slot, in the order in which they came: a Map remembers that. */
  private readonly larger = new Map<number, Uint8Array>();
  private largerBytes = 0;

  constructor(private readonly mostBytes = MOST_BYTES) {}

  get bytes(): number {
    return this.slots.length + this.largerBytes;
  }

  /** A slot for one more topic. */
  take(): number {
    const slot = this.count++;
    if (this.count * SLOT > this.slots.length) {
      const slots = new Uint8Array(this.slots.length * 2);
      slots.set(this.slots);
      this.slots = slots;
    }
    return slot;
  }

  put(slot: number, payload: Uint8Array): void {
    const isLarge = payload.length > SLOT;
    this.slots.set(isLarge ? payload.subarray(0, SLOT) : payload, slot * SLOT);
    if (isLarge) this.keep(slot, payload);
    else this.drop(slot);
  }

  /** The first bytes of a payload, to be looked at now: the next message changes them. */
  beginning(slot: number, size: number): Uint8Array {
    const from = slot * SLOT;
    return this.slots.subarray(from, from + Math.min(size, SLOT));
  }

  /** A copy of what is kept. `size`: of the topic's last payload, which whoever asks knows. */
  get(slot: number, size: number): Kept {
    const larger = this.larger.get(slot);
    if (larger !== undefined) return { bytes: larger.slice(), size, whole: larger.length === size };
    return { bytes: this.beginning(slot, size).slice(), size, whole: size <= SLOT };
  }

  private keep(slot: number, payload: Uint8Array): void {
    const part = payload.length > LONGEST ? payload.subarray(0, LONGEST) : payload;
    const former = this.larger.get(slot);
    if (former?.length === part.length) {
      former.set(part); // the same sensor says as much each time
      return;
    }
    this.drop(slot);
    this.larger.set(slot, part.slice());
    this.largerBytes += part.length;
    for (const oldest of this.larger.keys()) {
      if (this.largerBytes <= this.mostBytes) break;
      this.drop(oldest);
    }
  }

  private drop(slot: number): void {
    const former = this.larger.get(slot);
    if (former === undefined) return;
    this.larger.delete(slot);
    this.largerBytes -= former.length;
  }
}
