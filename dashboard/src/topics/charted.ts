/**
 * What a topic's chart shows: the number that its payloads are, or one inside their JSON.
 *
 * Reads each message of the history once, when a frame is due.
 */

import { jsonOf } from "../payload/kinds";
import type { History } from "./history";
import { numberAt, numberIn, type Step } from "./numbers";
import { Series, type Points } from "./series";

const MOST_POINTS = 3600;
const LONGEST_JSON = 65_536; // bytes of a payload that is read for its number, again and again

export class Charted {
  private readonly series = new Series(MOST_POINTS);
  private next = 0;
  private shown: Points = { x: [], y: [] };

  /** `before`: numbers that came before the topic was opened; the messages of the history are among them. */
  constructor(
    private readonly history: History,
    private readonly path: readonly Step[],
    before: Points,
  ) {
    if (path.length === 0 && before.x.length > 0) {
      for (const [i, x] of before.x.entries()) this.series.add(before.y[i], x * 1000);
      this.next = history.count;
      this.shown = this.series.points();
    }
  }

  /** Read what came since the last time. Returns the same object as long as nothing came. */
  points(): Points {
    if (this.next === this.history.count) return this.shown;
    for (const message of this.history.messages) {
      if (message.index < this.next) continue;
      const value = this.valueOf(message.payload);
      if (Number.isFinite(value)) this.series.add(value, message.at);
    }
    this.next = this.history.count;
    this.shown = this.series.points();
    return this.shown;
  }

  private valueOf(payload: Uint8Array): number {
    if (this.path.length === 0) return numberIn(payload);
    if (payload.length > LONGEST_JSON) return NaN;
    const value = jsonOf(payload);
    return value === undefined ? NaN : numberAt(value, this.path);
  }
}
