/**
 * What the page listens to: one filter for the tree, and the one topic that is open.
 *
 * It listens only while somebody may look: not before the topics were opened, and not when for a minute the page was
 * hidden or showed another view. So a page in a forgotten tab costs the broker nothing. For the tree the broker tells of
 * each topic four times a second at most, or less often where that is too much (`pace.ts`), and how many messages there
 * were. Of the topic that is open each message comes, unless there are too many of them.
 */

import { signal } from "@preact/signals";
import type { Link, Sample } from "../link/link";
import { Painter } from "../paint";
import { HEARD } from "./columns";
import { History } from "./history";
import { Pace, PERIODS } from "./pace";
import { Rows } from "./rows";
import type { Told, TopicStore } from "./store";

const UNSEEN_MS = 60_000;
const MEASURE_MS = 1000;
/** Messages a second of the topic that is open, up to which each of them is heard, and from which on no longer. */
export const EACH_UP_TO = 200;
const NOT_EACH_FROM = 400;
/** What came since the page listens is counted; a retained message was there before. */
const BEFORE: Told = { messages: 0, at: 0, client: null, user: null };
const SAVED = "telex.watched";

export class Watch {
  readonly filter = signal(localStorage.getItem(SAVED) ?? "#");
  /** Grows when the screen is to be drawn anew. */
  readonly tick = signal(0);
  readonly isPaused = signal(false);
  /** The topic whose panel is open. */
  readonly opened = signal<string | null>(null);
  history = new History();
  readonly rows: Rows;
  /** Milliseconds between two values of one topic in the tree; longer than usual under a flood. */
  readonly period = signal<number>(PERIODS[0]);
  /** Whether each message of the open topic is heard, not the last of a period alone. */
  readonly isEach = signal(false);

  private readonly pace = new Pace();
  private sampled = 0; // messages that came for the tree since the last measurement
  private endTree: (() => void) | null = null;
  private endOne: (() => void) | null = null;
  private heardAtOnce = 0; // messages of the open topic since the tree was told of it last
  private readonly painter = new Painter(() => {
    if (!this.isPaused.value) this.tick.value++;
  });
  private isStarted = false;
  private isShown = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private measuredAt = performance.now();

  constructor(
    private readonly link: Link,
    readonly store: TopicStore,
  ) {
    this.rows = new Rows(store);
  }

  /** Listen from now on; returns what to call when the topics are no longer shown. */
  start(): () => void {
    this.isShown = true;
    this.notice();
    if (!this.isStarted) {
      this.isStarted = true;
      setInterval(() => this.measure(), MEASURE_MS);
      document.addEventListener("visibilitychange", () => this.notice());
    }
    return () => {
      this.isShown = false;
      this.notice();
    };
  }

  /** Listen to another filter. What was heard stays. */
  change(filter: string): void {
    this.filter.value = filter;
    localStorage.setItem(SAVED, filter);
    this.hush();
    if (this.isShown) this.listen();
  }

  pause(paused: boolean): void {
    this.isPaused.value = paused;
    this.tick.value++;
  }

  open(topic: string | null): void {
    if (topic === this.opened.value) return;
    this.history = new History();
    this.endEach();
    this.opened.value = topic;
    const node = topic === null ? undefined : this.store.find(topic);
    if (node !== undefined && this.store.has(node, HEARD)) {
      const kept = this.store.payload(node);
      // What is not whole is no message of the history; the panel offers to get it.
      if (kept.whole) this.history.add(kept.bytes, this.store.qos(node), false, this.store.columns.at[node]);
    }
    this.choose();
  }

  /** Something else than a message has changed. */
  touch(): void {
    this.painter.touch();
  }

  /** Somebody looks, or nobody does any more. */
  private notice(): void {
    clearTimeout(this.timer);
    if (this.isShown && !document.hidden) this.listen();
    else this.timer = setTimeout(() => this.hush(), UNSEEN_MS);
  }

  private listen(): void {
    this.endTree ??= this.link.subscribe(this.filter.value, this.onTree, { period: this.pace.period });
    this.choose();
  }

  private hush(): void {
    this.endTree?.();
    this.endTree = null;
    this.endEach();
  }

  /** Whether each message of the open topic is to be heard. */
  private choose(): void {
    const topic = this.opened.value;
    const node = topic === null ? undefined : this.store.find(topic);
    // What was never heard of has no rate, and is nothing that could be too much.
    const rate = node === undefined ? 0 : this.ownRate(node);
    if (!topic || this.endTree === null || rate > NOT_EACH_FROM) this.endEach();
    else if (rate <= EACH_UP_TO && this.endOne === null) {
      this.endOne = this.link.subscribe(topic, this.onOne, { isLive: true });
      this.isEach.value = true;
    }
  }

  private endEach(): void {
    this.endOne?.();
    this.endOne = null;
    this.heardAtOnce = 0;
    this.isEach.value = false;
  }

  /** Messages a second of the topic itself. */
  private ownRate(node: number): number {
    const { columns } = this.store;
    // A branch has one rate, with all below it: its own share of them is about that of its messages.
    return columns.total[node] === 0 ? 0 : (columns.rate[node] * columns.count[node]) / columns.total[node];
  }

  private readonly onTree = (topic: string, payload: Uint8Array, qos: number, retained: boolean, sample: Sample | null): void => {
    const now = Date.now();
    if (sample !== null) this.sampled++;
    this.store.receive(topic, payload, qos, retained, now, sample ?? BEFORE);
    if (topic === this.opened.value) {
      // The last of a period that was heard at once comes here once more, for the tree.
      if (sample === null || this.heardAtOnce === 0) this.history.add(payload, qos, retained, now, sample?.messages);
      if (sample !== null) this.heardAtOnce = 0;
    }
    this.painter.touch();
  };

  private readonly onOne = (_topic: string, payload: Uint8Array, qos: number, retained: boolean): void => {
    this.heardAtOnce++;
    this.history.add(payload, qos, retained, Date.now());
    this.painter.touch();
  };

  private measure(): void {
    const now = performance.now();
    const seconds = (now - this.measuredAt) / 1000;
    // What is told of once in a period says nothing of less than one.
    if (seconds * 1000 < this.pace.period) return;
    this.measuredAt = now;
    this.store.measure(seconds);
    if (this.pace.measure(this.sampled, seconds)) {
      this.period.value = this.pace.period;
      this.link.resample(this.filter.value, this.pace.period);
    }
    this.sampled = 0;
    this.choose();
    this.painter.touch();
  }
}
