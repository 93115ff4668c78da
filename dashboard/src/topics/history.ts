/**
 * The last messages of the one topic that is open, whole, within a number of messages and of bytes.
 *
 * The last message itself is kept whatever its size; older ones go when all together are too many.
 */

export interface Heard {
  /** Which message of this history it is, from 0. */
  readonly index: number;
  readonly at: number;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly retained: boolean;
  /** Messages that it stands for, the last of which it is. */
  readonly messages: number;
}

export const MOST_MESSAGES = 200;
const MOST_BYTES = 8 * 1024 * 1024;

export class History {
  private readonly heard: Heard[] = [];
  private bytes = 0;
  private next = 0;

  constructor(
    private readonly mostMessages = MOST_MESSAGES,
    private readonly mostBytes = MOST_BYTES,
  ) {}

  /** Messages that have been taken in, also those that are gone. */
  get count(): number {
    return this.next;
  }

  /** `payload` is copied: what mqtt.js hands out is a part of all that came with it. */
  add(payload: Uint8Array, qos: number, retained: boolean, at: number, messages = 1): void {
    this.heard.push({ index: this.next++, at, payload: payload.slice(), qos, retained, messages });
    this.bytes += payload.length;
    while (this.heard.length > this.mostMessages || (this.bytes > this.mostBytes && this.heard.length > 1)) {
      this.bytes -= this.heard.shift()?.payload.length ?? 0;
    }
  }

  get last(): Heard | undefined {
    return this.heard.at(-1);
  }

  /** Oldest first. */
  get messages(): readonly Heard[] {
    return this.heard;
  }

  get(index: number): Heard | undefined {
    const first = this.heard.at(0);
    return first === undefined ? undefined : this.heard[index - first.index];
  }
}
